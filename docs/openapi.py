"""Writes the description of the HTTP API as JSON into the package, which serves it."""

import json
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = ROOT / "docs" / "openapi.yaml"
SERVED: Final = ROOT / "app" / "forestay" / "edge" / "api" / "openapi.json"


def document() -> dict[str, Any]:
    """The description as it is written by hand."""
    read: dict[str, Any] = yaml.safe_load(PAGE.read_text(encoding="utf-8"))
    return read


def text() -> str:
    """The same as JSON, for a gateway that has no reader of YAML."""
    return json.dumps(document(), ensure_ascii=False, separators=(",", ":")) + "\n"


if __name__ == "__main__":
    SERVED.write_text(text(), encoding="utf-8")
