"""The workflows of the code host run what the project has: its verbs, and the versions of Python that it supports."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.repository import ROOT, name

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
ACTIONLINT = shutil.which("actionlint")
VERB = re.compile(r"\bmake\s+(?:--?\S+\s+)*([a-z][\w-]*)")
by_name = pytest.mark.parametrize("workflow", WORKFLOWS, ids=name)


def test_ci_runs_the_verbs_of_the_script() -> None:
    """The workflow of a change runs the same verbs as `.ci/run`: in the same order, but that its jobs run at once."""
    script = _text(ROOT / ".ci" / "run")
    plain = dict.fromkeys(re.findall(r'^(?:run|part \w+) ([a-z-]+) "\$lowest"', script, re.MULTILINE))
    [compiled] = re.findall(r'^part \w+ ([a-z-]+) "\$image"', script, re.MULTILINE)
    assert _verbs(ROOT / ".github" / "workflows" / "ci.yml") == [*plain, compiled]


@by_name
def test_each_verb_exists(workflow: Path) -> None:
    """Each step that calls make names a verb that `make` lists."""
    verbs = re.findall(r"^([\w-]+):.*## ", _text(ROOT / "Makefile"), re.MULTILINE)
    assert set(_verbs(workflow)) <= set(verbs)


def test_ci_asks_for_known_holes() -> None:
    """The script and the workflow both ask; the release carries a list of what the image installs."""
    assert ".ci/audit" in _text(ROOT / ".ci" / "run").split()
    steps = _read(ROOT / ".github" / "workflows" / "ci.yml")["jobs"]["audit"]["steps"]
    assert ".ci/audit" in [step.get("run") for step in steps]
    assert "sbom" in _verbs(ROOT / ".github" / "workflows" / "release.yml")


def test_ci_covers_each_python_that_is_promised() -> None:
    """The matrix of CI begins with the oldest supported Python and has each that pyproject.toml and the image name."""
    job = _read(ROOT / ".github" / "workflows" / "ci.yml")["jobs"]["verbs"]
    matrix = job["strategy"]["matrix"]["python"]
    project = tomllib.loads(_text(ROOT / "pyproject.toml"))["project"]
    oldest = project["requires-python"].removeprefix(">=")
    promised = re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    shipped = re.findall(r"^FROM python:(3\.\d+)-", _text(ROOT / "Dockerfile"), re.MULTILINE)
    assert matrix[0] == oldest
    assert {*promised, *shipped} <= set(matrix)


@by_name
def test_each_job_has_a_limit_and_few_rights(workflow: Path) -> None:
    """A workflow starts without rights. Each job names the rights that it needs, and ends by itself."""
    read = _read(workflow)
    assert read["permissions"] == {}
    for job in read["jobs"].values():
        assert "permissions" in job
        # A job that calls a workflow has the limits of that workflow's jobs.
        assert "timeout-minutes" in job or "uses" in job


@by_name
def test_each_action_names_a_version(workflow: Path) -> None:
    """No step takes whatever is newest on an action's main branch."""
    used = re.findall(r"^\s*(?:- )?uses: (\S+)", _text(workflow), re.MULTILINE)
    assert [action for action in used if not re.search(r"@(?:v\d|release/v\d|[0-9a-f]{40}$)|^\./", action)] == []


@pytest.mark.skipif(ACTIONLINT is None, reason="no actionlint on PATH; Go installs it from its module")
@by_name
def test_actionlint_finds_nothing(workflow: Path) -> None:
    """The workflow is well formed: its expressions, its inputs, its dependencies between jobs."""
    assert ACTIONLINT is not None
    done = subprocess.run([ACTIONLINT, workflow], cwd=ROOT, check=False, capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stdout + done.stderr


def _verbs(workflow: Path) -> list[str]:
    """What the steps of a workflow ask of make, in order."""
    steps = [step for job in _read(workflow)["jobs"].values() for step in job.get("steps", ())]
    return [verb for step in steps for verb in VERB.findall(step.get("run", ""))]


def _read(workflow: Path) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load(_text(workflow))
    return read


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")
