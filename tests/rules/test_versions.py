"""All places name the same version."""

import re
from importlib.metadata import version

import forestay
from tests.support.repository import ROOT


def test_the_changelog_ends_with_this_version() -> None:
    """The newest release in CHANGELOG.md is the version of the package."""
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    released = re.findall(r"^## \[(\d[^\]]*)\] - \d{4}-\d{2}-\d{2}$", changelog, re.MULTILINE)
    assert released[0] == forestay.__version__


def test_the_distribution_has_this_version() -> None:
    """The installed distribution `forestay` has the version of this tree; if not, run `make setup`."""
    assert version("forestay") == forestay.__version__


def test_the_readme_installs_this_version() -> None:
    """The README installs this release, and loads the image by the name that `make image` gives it."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    named = re.findall(r"(?:REGISTRY/forestay:|--version )(\d\S+)", readme)
    assert named == [forestay.__version__] * 2
    [image] = re.findall(r"^IMAGE \?= (\S+)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert f"kind load docker-image {image} " in readme
