"""Tables of verdicts: a run against real programs writes them on a page, and the next run is compared with them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

Verdicts = dict[str, dict[str, str]]
"""By a program or library, with its version as the last word, the verdict of each check."""


@dataclass(frozen=True, slots=True)
class Table:
    """The table of a page between `<!-- MARK -->` and `<!-- end -->`. A column is a program, a row is a check."""

    page: Path
    mark: str

    def read(self) -> Verdicts:
        """What the page says."""
        found = self._pattern.search(self.page.read_text(encoding="utf-8"))
        if found is None or not found[0]:
            return {}
        head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in found[0].splitlines()]
        return {name: {row[0]: row[at] for row in rows} for at, name in enumerate(head) if at}

    def write(self, seen: Verdicts, order: list[str], rows: list[str]) -> None:
        """Put what was seen into the page. `order`: what each title begins with, the rest of it is a version."""
        known = self.read()
        titles = []
        for start in order:
            titles += [title for title in seen if _is(title, start)] or [title for title in known if _is(title, start)]
        now = {title: known.get(title, {}) | seen.get(title, {}) for title in titles}
        lines = [["", *titles], ["---"] * (len(titles) + 1)]
        lines += [[row, *(now[title].get(row, "") for title in titles)] for row in rows]
        text = "".join(f"| {' | '.join(line)} |\n" for line in lines)
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

    @property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile(rf"(?<=<!-- {re.escape(self.mark)} -->\n)(?:\|.*?\n)*(?=<!-- end -->)", re.DOTALL)


def _is(title: str, start: str) -> bool:
    return title.startswith(start) and " " not in title.removeprefix(start)


def _name(title: str) -> str:
    return title.rpartition(" ")[0]
