"""Writes the table of values into the chart's README, and the names of all settings: `python -m helm.values_table`."""

import json
import re
from dataclasses import dataclass
from typing import Any, Final

from forestay.settings.secrets import variable_of
from forestay.settings.settings import Settings
from helm.rendering import CHART, read

README: Final = CHART / "README.md"
SETTINGS: Final = CHART / "files/settings.txt"
START: Final = "<!-- written by `make chart-docs` from values.yaml -->\n"
END: Final = "<!-- end of what is written -->\n"

_KEY = re.compile(r"(?P<indent> *)(?P<key>[A-Za-z][\w-]*):")
_COMMENT = re.compile(r" *# ?(?P<text>.*)")


@dataclass(frozen=True, slots=True)
class Row:
    """A described value."""

    path: tuple[str, ...]
    default: Any
    text: str

    def __str__(self) -> str:
        default = json.dumps(self.default, ensure_ascii=False)
        # A pipe would end the cell.
        return f"| `{'.'.join(self.path)}` | `{default}` | {self.text} |".replace("\\|", "|")


def described() -> list[Row]:
    """The described values of values.yaml in order. A comment with `--` describes the key below it."""
    values = read(CHART / "values.yaml")
    rows: list[Row] = []
    path: list[tuple[int, str]] = []
    words: list[str] | None = None
    for line in (CHART / "values.yaml").read_text(encoding="utf-8").splitlines():
        comment, key = _COMMENT.fullmatch(line), _KEY.match(line)
        if comment:
            if comment["text"].startswith("-- "):
                words = [comment["text"][3:]]
            elif words is not None:
                words.append(comment["text"])
        elif key:
            indent = len(key["indent"])
            path = [*(part for part in path if part[0] < indent), (indent, key["key"])]
            if words is not None:
                names = tuple(name for _, name in path)
                rows.append(Row(names, _at(values, names), " ".join(words)))
            words = None
    return rows


def table() -> str:
    """The rows as Markdown."""
    head = "| Value | Default | What it is |\n| --- | --- | --- |\n"
    return head + "".join(f"{row}\n" for row in described())


def page() -> str:
    """The README with the current table."""
    before, _, rest = README.read_text(encoding="utf-8").partition(START)
    _, _, after = rest.partition(END)
    return f"{before}{START}\n{table()}\n{END}{after}"


def settings() -> str:
    """The variables that the gateway knows, one a line: under `settings` the chart refuses all others."""
    return "".join(f"{variable_of(name)}\n" for name in sorted(Settings.model_fields))


def _at(values: Any, names: tuple[str, ...]) -> Any:  # noqa: ANN401 - a value is anything
    for name in names:
        values = values[name]
    return values


if __name__ == "__main__":
    README.write_text(page(), encoding="utf-8")
    SETTINGS.write_text(settings(), encoding="utf-8")
