"""Reads the list of the defences against hostile input, and how each one is taken out."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Defence:
    """A piece of code that keeps something out, and the tests that must fail without it."""

    name: str
    threats: Sequence[str]
    """The numbers of the threats in THREAT_MODEL.md."""
    file: str
    text: str
    """What is taken out. It is in the file once."""
    without: str
    """What takes its place."""
    tests: Sequence[str]

    def matches(self, word: str) -> bool:
        return word in self.name or word in self.threats

    def taken_out(self, source: str) -> str:
        """`source` without the defence. Raises ValueError where the text is not in it exactly once."""
        found = source.count(self.text)
        if found != 1:
            raise ValueError(f"{self.name}: the text is {found} times in {self.file}, and not once: {self.text!r}")
        return source.replace(self.text, self.without)


def defences() -> list[Defence]:
    """All defences of the list."""
    table = tomllib.loads(Path(__file__).with_name("defences.toml").read_text())
    return [Defence(**one) for one in table["defence"]]
