"""Renders the chart to objects: by the helm on PATH, or else by Helm's library.

The library is Go code inside Python. It runs in a process of its own, so that its threads and signal handlers stay out
of the caller's process.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, Protocol

import yaml

CHART: Final = Path(__file__).parent / "forestay"
ROOT: Final = CHART.parent.parent
INFO: Final = 1
"""The severity of a finding that is only advice."""

Values = Mapping[str, Any]
Object = dict[str, Any]


class RenderError(Exception):
    """Helm refused the values. The message is Helm's."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """The rendered objects and notes."""

    objects: tuple[Object, ...]
    notes: str


class Helm(Protocol):
    """Renders the chart to the texts of the manifests and of the notes."""

    def texts(self, values: str, release: str, namespace: str) -> tuple[list[str], str]: ...


class Command:
    """The helm on PATH. It must be version 4: older ones need a cluster for a dry run."""

    def __init__(self, path: str) -> None:
        self._path = path

    def texts(self, values: str, release: str, namespace: str) -> tuple[list[str], str]:
        options = ["--dry-run=client", "--output=json", f"--namespace={namespace}", "--values=-"]
        command = [self._path, "install", release, str(CHART), *options]
        done = subprocess.run(command, input=values, check=False, capture_output=True, text=True)
        if done.returncode:
            raise RenderError(done.stderr)
        answer = json.loads(done.stdout)
        hooks = [hook["manifest"] for hook in answer.get("hooks") or []]
        return [answer["manifest"], *hooks], answer["info"]["notes"]


class Library:
    """Helm's library, in a process that answers one line per line."""

    def __init__(self, chart: Path = CHART) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "helm.library", str(chart)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def texts(self, values: str, release: str, namespace: str) -> tuple[list[str], str]:
        answer = self._answer({"values": json.loads(values), "name": release, "namespace": namespace})
        if "error" in answer:
            raise RenderError(answer["error"])
        notes = answer["manifests"].pop(f"{CHART.name}/templates/NOTES.txt", "")
        return list(answer["manifests"].values()), notes

    def lint(self, values: Values) -> list[str]:
        """The findings of `helm lint`, warnings included."""
        findings = self._answer({"values": values, "lint": True})["findings"]
        return [f"{found['path']}: {found['error']}" for found in findings if found["severity"] > INFO]

    def close(self) -> None:
        """Closes the input of the process, which ends it."""
        self._process.communicate()

    def _answer(self, question: Values) -> dict[str, Any]:
        ask, hear = self._process.stdin, self._process.stdout
        assert ask is not None
        assert hear is not None
        print(json.dumps(question), file=ask, flush=True)
        line = hear.readline()
        if not line:
            raise RuntimeError("Helm's library ended; its output is above")
        answer: dict[str, Any] = json.loads(line)
        return answer


@cache
def helm() -> Helm:
    """The Helm that is available."""
    path = shutil.which("helm")
    if path is not None:
        version = subprocess.run([path, "version", "--short"], check=False, capture_output=True, text=True).stdout
        if version.startswith("v4."):
            return Command(path)
    return Library()


def close() -> None:
    """Ends the process of the library, if there is one."""
    if helm.cache_info().currsize:
        current = helm()
        if isinstance(current, Library):
            current.close()
        helm.cache_clear()


def render(
    values: Values, *, release: str = "forestay", namespace: str = "forestay", by: Helm | None = None
) -> Rendered:
    """Renders all objects, hooks included. Raises RenderError."""
    texts, notes = (by or helm()).texts(json.dumps(values), release, namespace)
    objects = [each for text in texts for each in yaml.load_all(text, Loader=_Loader) if each]
    return Rendered(tuple(objects), notes)


def read(path: Path) -> Any:  # noqa: ANN401 - YAML is anything
    """Reads a YAML file. A duplicate key is an error."""
    return yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)


class _Loader(yaml.CSafeLoader):  # type: ignore[misc, unused-ignore]
    """Loads YAML safely, and refuses what Kubernetes would refuse."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:  # noqa: ANN401, FBT001, FBT002
        keys = [key.value for key, _ in node.value]
        if len(keys) != len(set(keys)):
            raise RenderError(f"a key stands twice among {keys}, {node.start_mark}")
        made: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        return made
