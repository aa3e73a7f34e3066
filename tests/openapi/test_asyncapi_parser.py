"""The parser that the makers of AsyncAPI ship takes docs/asyncapi.yaml."""

import json
from pathlib import Path

import pytest

from docs.asyncapi import PAGE
from tests.openapi.install import packages
from tests.support.node import node, run

# The first one installs the parser.
pytestmark = pytest.mark.timeout(240)


def diagnoses(document: Path) -> list[str]:
    """The codes of what the parser has to say. Fails where it says that there is no document."""
    folder = packages(Path(__file__).with_name("asyncapi"))
    lines = run(node(), folder / "validate.mjs", document, cwd=folder).splitlines()
    return [json.loads(line)["code"] for line in lines]


def test_the_parser_takes_the_document() -> None:
    """It only notes that there is a newer version of AsyncAPI."""
    assert set(diagnoses(PAGE)) <= {"asyncapi-latest-version"}


def test_the_parser_refuses_a_document_with_a_fault(tmp_path: Path) -> None:
    """Such as a message that is not there."""
    broken = tmp_path / "asyncapi.yaml"
    broken.write_text(PAGE.read_text("utf-8").replace("#/components/messages/joined", "#/components/messages/nothing"))
    with pytest.raises(AssertionError, match="invalid-ref"):
        diagnoses(broken)
