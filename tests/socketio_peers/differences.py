"""Finds what the script sees differently against two servers, and explains it: the rows of `differences.toml`."""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("differences.toml")


@dataclass(frozen=True, slots=True)
class Difference:
    """One value that a client sees differently."""

    client: str
    transports: str
    key: str
    """The step, and the names that lead to the value in it, with slashes between."""
    real: object
    ours: object

    def __str__(self) -> str:
        return f"{self.client}, {self.transports}: {self.key}: {self.real!r} there, {self.ours!r} here"


@dataclass(frozen=True, slots=True)
class Row:
    """One explanation, which is a row of the table in docs/from-socketio.md."""

    keys: tuple[str, ...]
    clients: tuple[str, ...]
    """Empty for all of them; so are the transports."""
    transports: tuple[str, ...]
    what: str
    real: str
    ours: str

    def explains(self, one: Difference) -> bool:
        return (
            any(one.key == key or one.key.startswith(f"{key}/") for key in self.keys)
            and (not self.clients or one.client in self.clients)
            and (not self.transports or one.transports in self.transports)
        )


def rows(file: Path = FILE) -> list[Row]:
    """The explanations."""
    listed = tomllib.loads(file.read_text(encoding="utf-8"))["difference"]
    return [
        Row(
            tuple(one["keys"]),
            tuple(one.get("clients", ())),
            tuple(one.get("transports", ())),
            one["what"],
            one["real"],
            one["ours"],
        )
        for one in listed
    ]


def table(listed: list[Row]) -> str:
    """The rows as a table in Markdown."""
    lines = ["| What | Real server, Redis adapter | Forestay |", "| --- | --- | --- |"]
    return "\n".join([*lines, *(f"| {row.what} | {row.real} | {row.ours} |" for row in listed)]) + "\n"


def differences(client: str, transports: str, real: Mapping[str, Any], ours: Mapping[str, Any]) -> list[Difference]:
    """What one client saw differently."""
    there, here = dict(_values(real)), dict(_values(ours))
    return [
        Difference(client, transports, key, there.get(key), here.get(key))
        for key in sorted(there.keys() | here.keys())
        if there.get(key) != here.get(key)
    ]


def unexplained(found: list[Difference], listed: list[Row]) -> list[str]:
    """The differences without a row."""
    return [str(one) for one in found if not any(row.explains(one) for row in listed)]


def idle(found: list[Difference], listed: list[Row]) -> list[str]:
    """The rows without a difference."""
    return [f"no difference any more: {row.what}" for row in listed if not any(map(row.explains, found))]


def _values(found: object, key: str = "") -> Iterator[tuple[str, object]]:
    """All values with the names that lead to them. A list is one value, and what is missing is None."""
    if isinstance(found, Mapping):
        for name, value in found.items():
            yield from _values(value, f"{key}/{name}" if key else name)
    else:
        yield key, found
