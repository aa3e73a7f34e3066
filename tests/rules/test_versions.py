"""One version, said the same wherever it is said."""

import re
from importlib.metadata import version

import forestay
from tests.support.repository import ROOT


def test_the_changelog_ends_with_this_version() -> None:
    """The newest release in CHANGELOG.md is the one that the package says it is."""
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    released = re.findall(r"^## \[(\d[^\]]*)\] - \d{4}-\d{2}-\d{2}$", changelog, re.MULTILINE)
    assert released[0] == forestay.__version__


def test_the_distribution_has_this_version() -> None:
    """What is installed under the name forestay is this tree; if not, `make setup` is due."""
    assert version("forestay") == forestay.__version__
