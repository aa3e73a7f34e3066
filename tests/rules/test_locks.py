"""The locks pin what pyproject.toml requires, with hashes and without addresses."""

import re
import tomllib
from importlib.metadata import version
from itertools import chain

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.repository import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
GROUPS = PROJECT["dependency-groups"]
# The image installs this extra, because it queries its cluster.
RUNTIME = [*PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"]["kubernetes"]]
# The client comes from this tree in the same version; no index has this state of it.
EXTRAS = chain(*(asked for extra, asked in PROJECT["project"]["optional-dependencies"].items() if extra != "client"))
ASKED = {
    "runtime": RUNTIME,
    "build": GROUPS["build"],
    "fuzz": GROUPS["fuzz"],
    "site": GROUPS["site"],
    "dev": [
        *RUNTIME,
        *EXTRAS,
        *GROUPS["build"],
        *GROUPS["examples"],
        *GROUPS["site"],
        *(item for item in GROUPS["dev"] if isinstance(item, str)),
    ],
}


@pytest.mark.parametrize("lock", ASKED)
def test_each_dependency_is_pinned_to_a_version_that_fits(lock: str) -> None:
    """Each requirement of pyproject.toml is pinned to a version that fits; if not, run `make lock`."""
    pins = _pins(lock)
    misfits = [
        asked
        for asked in ASKED[lock]
        if not (wanted := Requirement(asked)).specifier.contains(pins.get(canonicalize_name(wanted.name), "0"))
    ]
    assert misfits == []


@pytest.mark.parametrize("lock", ASKED)
def test_each_pin_has_hashes_and_no_address(lock: str) -> None:
    """Each pin has hashes and no address, because a hash identifies a package from any source."""
    text = _text(lock)
    assert "://" not in text
    assert re.findall(r"^(\S+)==.*\n(?!    --hash)", text, re.MULTILINE) == []


def test_what_is_tested_is_what_is_shipped() -> None:
    """The test environment has the versions that the image installs."""
    runtime, dev = _pins("runtime"), _pins("dev")
    assert {name: dev.get(name) for name in runtime} == runtime
    assert version("aiohttp") == runtime["aiohttp"]


def test_what_the_examples_name_is_what_is_tested() -> None:
    """examples/requirements.txt has the packages of its group, in the versions of the test environment."""
    lines = (ROOT / "examples" / "requirements.txt").read_text(encoding="utf-8").split()
    named = {canonicalize_name(name): pin for name, _, pin in (line.partition("==") for line in lines)}
    assert named.keys() == {canonicalize_name(Requirement(asked).name) for asked in GROUPS["examples"]}
    dev = _pins("dev")
    assert {name: dev.get(name) for name in named} == named


def _text(lock: str) -> str:
    return (ROOT / "requirements" / f"{lock}.txt").read_text(encoding="utf-8")


def _pins(lock: str) -> dict[str, str]:
    found = re.findall(r"^([\w.-]+)==([^\s;]+)", _text(lock), re.MULTILINE)
    return {canonicalize_name(name): pin for name, pin in found}
