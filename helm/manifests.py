"""Writes k8s/ from the chart and k8s/values.yaml, one object per file: `python -m helm.manifests`."""

import re
from pathlib import Path
from typing import Any, Final

import yaml

from helm.rendering import ROOT, Object, close, read, render

FOLDER: Final = ROOT / "k8s"
NAME: Final = "forestay"
"""The name of the release and of the namespace."""

_HEAD: Final = "# Written by `make manifests` from the chart and values.yaml: change those.\n"


def manifests() -> dict[str, str]:
    """Returns the text of each file by its name."""
    files = {"namespace.yaml": _text(_NAMESPACE)}
    for each in render(read(FOLDER / "values.yaml"), release=NAME, namespace=NAME).objects:
        if "helm.sh/hook" in each["metadata"].get("annotations", {}):
            continue
        files[_file(each)] = _text(_plain(each))
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": sorted(files),
    }
    return files | {"kustomization.yaml": _text(kustomization)}


def write() -> None:
    """Writes the folder and removes files that no longer belong to the chart."""
    wanted = manifests()
    for path in written():
        if path.name not in wanted:
            path.unlink()
    for name, text in wanted.items():
        (FOLDER / name).write_text(text, encoding="utf-8")


def written() -> list[Path]:
    """The generated files in the folder."""
    return [path for path in sorted(FOLDER.glob("*.yaml")) if path.read_text(encoding="utf-8").startswith(_HEAD)]


_NAMESPACE: Final[Object] = {
    "apiVersion": "v1",
    "kind": "Namespace",
    "metadata": {
        "name": NAME,
        # The namespace enforces the profile that the pods fit.
        "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
    },
}


def _plain(each: Object) -> Object:
    """Removes the labels of Helm, which would claim an object that it did not install."""
    labels = each["metadata"]["labels"]
    kept = {key: value for key, value in labels.items() if key not in ("helm.sh/chart", "app.kubernetes.io/managed-by")}
    return {**each, "metadata": {**each["metadata"], "labels": kept}}


def _file(each: Object) -> str:
    kind = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", each["kind"]).lower()
    suffix = each["metadata"]["name"].removeprefix(NAME)
    return f"{kind}{suffix}.yaml"


def _text(each: Object) -> str:
    text: str = yaml.dump(each, Dumper=_Dumper, sort_keys=False, width=110)
    return _HEAD + text


class _Dumper(yaml.SafeDumper):  # type: ignore[misc, unused-ignore]
    """Keeps texts of several lines readable, and indents lists."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> Any:  # noqa: ANN401, FBT001, FBT002
        return super().increase_indent(flow, indentless=False)


def _represent(dumper: _Dumper, text: str) -> Any:  # noqa: ANN401 - the library's own
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _represent)

if __name__ == "__main__":
    write()
    close()
