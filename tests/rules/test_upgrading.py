"""UPGRADING.md has each release that changes something, and names the versions that the tests run on."""

import re
import tomllib

import kubernetes_validate
from helm_python import helm_sdk_version

from helm.rendering import CHART, read
from tests.support.repository import ROOT, rows
from tests.support.servers import PACKAGED

PAGE = (ROOT / "UPGRADING.md").read_text(encoding="utf-8")
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
# What operators may have to follow.
MOVING = ("### Changed", "### Removed", "### Deprecated")


def _versions() -> dict[str, str]:
    """The second column of the table by the first one."""
    return {row[0]: row[1] for row in rows("UPGRADING.md") if len(row) == 3}


def test_each_release_that_changes_something_has_a_section() -> None:
    """A release of the changelog with changes or removals has a section, and each section is of a release."""
    releases = re.findall(r"^## \[([^\]]+)\]", CHANGELOG, re.MULTILINE)
    texts = dict(zip(releases, re.split(r"^## \[.*$", CHANGELOG, flags=re.MULTILINE)[1:], strict=True))
    sections = re.findall(r"^## (Unreleased|\d.*)$", PAGE, re.MULTILINE)
    changed = [release for release, text in texts.items() if any(head in text for head in MOVING)]
    assert [release for release in changed if release not in sections] == []
    assert [section for section in sections if section not in releases] == []


def test_kubernetes_is_that_of_the_schemas() -> None:
    """The range begins with what the chart demands, and ends with the newest schemas that its objects are judged by."""
    oldest = read(CHART / "Chart.yaml")["kubeVersion"].removeprefix(">=").removesuffix(".0-0")
    newest = ".".join(kubernetes_validate.latest_version().split("-")[0].split(".")[:2])
    assert _versions()["Kubernetes"] == f"{oldest} to {newest}"


def test_helm_is_that_which_renders() -> None:
    """The version is that of Helm's library, by which the tests render the chart."""
    assert helm_sdk_version().removeprefix("v").startswith(f"{_versions()['Helm']}.")


def test_redis_is_that_of_the_servers() -> None:
    """The versions are those of docs/redis.md, of which each packaged one is run by `make servers`."""
    named = _versions()["Redis, Valkey"]
    for server in PACKAGED:
        assert server.name.split()[-1] in named
    listed = " ".join(row[0] for row in rows("docs/redis.md", "Server"))
    assert sorted(re.findall(r"\d+\.\d+\.\d+", listed)) == sorted(re.findall(r"\d+\.\d+\.\d+", named))


def test_python_is_that_of_the_package() -> None:
    """The versions are those that the package promises."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    promised = re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    assert _versions()["Python"] == ", ".join(promised)
