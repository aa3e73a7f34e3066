"""Tables of verdicts: a run against real programs writes them on a page, and the next run is compared with them."""

import asyncio
import re
import sys
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import structlog

from tests.support.fetched import Missing, say
from tests.support.process import Program

Verdicts = dict[str, Mapping[str, str]]
"""By a program or library, with its version as the last word, the verdict of each check."""


def tried(
    names: Iterable[str], play: Callable[[str], Coroutine[None, None, tuple[str, Mapping[str, str]]]]
) -> tuple[Verdicts, int]:
    """Play the checks to each of them. Returns their verdicts, and 2 where one was left out, otherwise 0.

    `play` returns the title of one and its verdicts, or raises Missing.
    """
    # What the pods log belongs to no verdict.
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    seen: Verdicts = {}
    status = 0
    for name in names:
        try:
            title, found = asyncio.run(play(name))
        except Missing as missing:
            say(f"left out: {name}, because {missing}")
            status = 2
        else:
            seen[title] = found
    return seen, status


async def compared(module: str) -> None:
    """Run `python -m MODULE`, which must find nothing that differs. Skips the test where something cannot be had."""
    process = await Program((sys.executable, "-m", module)).start()
    out, error = await process.communicate()
    if process.returncode == 2:
        pytest.skip(out.decode().strip().splitlines()[-1])
    assert process.returncode == 0, (out + error).decode()[-3000:]


@dataclass(frozen=True, slots=True)
class Table:
    """The table of a page between `<!-- MARK -->` and `<!-- end -->`. A column is a program, a row is a check."""

    page: Path
    mark: str
    turned: bool = False
    """Whether a row is a program, and a column a check."""
    corner: str = ""
    """What heads the first column."""

    def read(self) -> Verdicts:
        """What the page says."""
        found = self._pattern.search(self.page.read_text(encoding="utf-8"))
        if found is None or not found[0]:
            return {}
        head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in found[0].splitlines()]
        [_, *checks], *programs = self._columns([head, *rows])
        return {title: dict(zip(checks, verdicts, strict=True)) for title, *verdicts in programs}

    def settle(self, seen: Verdicts, order: Sequence[str], rows: Sequence[str], *, write: bool) -> int:
        """Write what was seen, or say what differs from the page. Returns 1 where that is at the same version, or 0."""
        if write:
            self.write(seen, order, rows)
            return 0
        differences = list(self.differences(seen))
        for sentence in (*self.unknown(seen), *differences):
            say(sentence)
        return 1 if differences else 0

    def write(self, seen: Verdicts, order: Sequence[str], rows: Sequence[str]) -> None:
        """Put what was seen into the page. `order`: what each title begins with, the rest of it is a version."""
        known = self.read()
        titles = []
        for start in order:
            titles += [title for title in seen if _is(title, start)] or [title for title in known if _is(title, start)]
        now = {title: {**known.get(title, {}), **seen.get(title, {})} for title in titles}
        programs = [[title, *(now[title].get(row, "") for row in rows)] for title in titles]
        head, *lines = self._columns([[self.corner, *rows], *programs])
        text = "".join(f"| {' | '.join(line)} |\n" for line in (head, ["---"] * len(head), *lines))
        self.page.write_text(self._pattern.sub(lambda _: text, self.page.read_text(encoding="utf-8")), encoding="utf-8")

    def unknown(self, seen: Verdicts) -> Iterator[str]:
        """A sentence for each title that the page lacks: it has another version."""
        known = self.read()
        for title in seen:
            if title not in known:
                others = [other for other in known if _name(other) == _name(title)]
                yield f"{title} is not in {self.page.name}, which has {', '.join(others or known) or 'none'}"

    def differences(self, seen: Verdicts) -> Iterator[str]:
        """A sentence for each verdict that is another one than that of the page at the same version."""
        known = self.read()
        for title in seen.keys() & known.keys():
            for row, verdict in seen[title].items():
                if verdict != known[title].get(row):
                    yield f"{title}: {row}: {verdict}; {self.page.name} has: {known[title].get(row)}"

    def _columns(self, lines: list[list[str]]) -> list[list[str]]:
        """The lines of the table as its programs, or those as its lines."""
        return lines if self.turned else [list(column) for column in zip(*lines, strict=True)]

    @property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile(rf"(?<=<!-- {re.escape(self.mark)} -->\n)(?:\|.*?\n)*(?=<!-- end -->)", re.DOTALL)


def _is(title: str, start: str) -> bool:
    return title.startswith(start) and " " not in title.removeprefix(start)


def _name(title: str) -> str:
    return title.rpartition(" ")[0]
