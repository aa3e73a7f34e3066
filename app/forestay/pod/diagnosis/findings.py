"""What a check found: whether it is well, and if not what to do. Findings become lines or JSON."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

# Characters of what was found, in a line.
_LONGEST: Final = 1000


class Status(StrEnum):
    """How well something is."""

    OK = "OK"
    WARN = "WARN"
    """A gateway serves with it, perhaps not as expected."""
    FAIL = "FAIL"
    """A gateway does not start with it, or refuses what it should do."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of a diagnosis. No text of it has a secret."""

    status: Status
    check: str
    """What was checked, in a word."""
    what: str
    """What was found."""
    remedy: str = ""
    """What to do; empty where nothing is to be done, or where `what` says it."""

    def __str__(self) -> str:
        # What a server replied may be long, and a terminal would obey its control characters.
        what = self.what if len(self.what) <= _LONGEST else f"{self.what[:_LONGEST]}…"
        text = " ".join(f"{what}{'; ' if self.remedy else ''}{self.remedy}".split())
        text = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
        return f"{self.status:<4}  {self.check:<9}  {text}"


def ok(check: str, what: str) -> Finding:
    """Something is as it should be."""
    return Finding(Status.OK, check, what)


def warn(check: str, what: str, remedy: str = "") -> Finding:
    """Something deserves a look."""
    return Finding(Status.WARN, check, what, remedy)


def fail(check: str, what: str, remedy: str = "") -> Finding:
    """Something does not work."""
    return Finding(Status.FAIL, check, what, remedy)


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All findings, in the order of the checks."""

    findings: Sequence[Finding]

    @property
    def ok(self) -> bool:
        """Whether nothing fails."""
        return all(found.status is not Status.FAIL for found in self.findings)

    def as_text(self) -> str:
        """A line for each finding."""
        return "\n".join(str(found) for found in self.findings)

    def as_json(self) -> str:
        """One line: `ok`, and `findings` with `status`, `check`, `what` and `remedy`."""
        findings = [
            {"status": found.status.value, "check": found.check, "what": found.what, "remedy": found.remedy}
            for found in self.findings
        ]
        return json.dumps({"ok": self.ok, "findings": findings})
