"""Scenarios as they lie in files: read, checked for words that mean nothing, and multiplied by their cases."""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).parent / "scenarios"
_OPENINGS: Final = FOLDER.parent / "openings.toml"

VERBS: Final[Mapping[str, frozenset[str]]] = {
    "tell": frozenset(),
    "expect": frozenset({"within_ms"}),
    "await": frozenset({"within_ms"}),
    "never": frozenset(),
    "forgive": frozenset(),
    "accept": frozenset({"welcome", "token", "note", "over"}),
    "refuse": frozenset({"status", "headers", "code", "detail", "page", "plain", "over"}),
    "hear": frozenset({"from", "within_ms"}),
    "unheard": frozenset({"from", "ms"}),
    "hear_binary": frozenset({"from"}),
    "say": frozenset({"to"}),
    "say_raw": frozenset({"to"}),
    "say_binary": frozenset({"to"}),
    "close": frozenset({"code", "reason"}),
    "cut": frozenset(),
    "stall": frozenset(),
    "closed": frozenset({"code", "within_ms"}),
    "stays_open": frozenset({"ms"}),
    "no_connection_within": frozenset(),
    "suspend": frozenset(),
    "wake": frozenset(),
    "pass_ms": frozenset(),
}
"""What a step can say, and what else may stand beside it. The README explains each."""
_KEYS: Final = frozenset(
    {"title", "why", "given", "needs", "only", "options", "welcome", "tokens", "cases", "runs", "spread", "steps"}
)


WEBSOCKET: Final = "websocket"
BOTH: Final = (WEBSOCKET, "stream")


class Malformed(ValueError):
    """A scenario that says something no runner understands."""


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a scenario."""

    verb: str
    what: Any
    more: Mapping[str, Any]

    def __str__(self) -> str:
        beside = "".join(f", {name} = {value!r}" for name, value in self.more.items())
        return f"{self.verb} = {self.what!r}{beside}"


@dataclass(frozen=True, slots=True)
class Scenario:
    """A story, and what stands around it."""

    name: str
    title: str
    steps: tuple[Step, ...]
    needs: str = ""
    """How an SDK has to learn the status of a refused handshake for this to make sense. Left out, in any way."""
    over: tuple[str, ...] = BOTH
    """What may carry its connections."""
    options: Mapping[str, Any] = field(default_factory=dict)
    welcome: Mapping[str, Any] = field(default_factory=dict)
    tokens: Mapping[str, float] = field(default_factory=dict)
    """Further tokens and the seconds they last."""
    case: Mapping[str, Any] = field(default_factory=dict)
    runs: int = 1
    spread_ms: float = 0
    """Over how long the `note`d moments of all runs have to be spread."""


def scenarios(folder: Path = FOLDER) -> list[Scenario]:
    """All that lie in a folder, by name."""
    return [scenario for path in sorted(folder.glob("*.toml")) for scenario in read(path)]


def read(path: Path) -> Iterator[Scenario]:
    """The scenario in a file; where it has cases, one for each."""
    try:
        written = tomllib.loads(path.read_text(encoding="utf-8"))
        if strange := written.keys() - _KEYS:
            raise Malformed(f"unknown keys: {', '.join(sorted(strange))}")
        steps = (*_opening(written.get("given", "connected")), *map(_step, written["steps"]))
    except (tomllib.TOMLDecodeError, KeyError, ValueError) as wrong:
        raise Malformed(f"{path.name}: {wrong}") from wrong
    cases: list[dict[str, Any]] = written.get("cases", [{}])
    for case in cases:
        yield Scenario(
            name="-".join([path.stem, *map(str, case.values())]),
            title=written["title"],
            steps=steps,
            needs=written.get("needs", ""),
            over=_over(written),
            options=written.get("options", {}),
            welcome=written.get("welcome", {}),
            tokens=written.get("tokens", {}),
            case=case,
            runs=written.get("runs", 1),
            spread_ms=written.get("spread", 0),
        )


def _over(written: Mapping[str, Any]) -> tuple[str, ...]:
    """What a scenario is played over. One that chooses for itself is played once."""
    if "only" in written:
        return (written["only"],)
    return (WEBSOCKET,) if "transports" in written.get("options", {}) else BOTH


def _opening(name: str) -> list[Step]:
    """The steps that many scenarios begin with."""
    written = tomllib.loads(_OPENINGS.read_text(encoding="utf-8"))
    return [_step(step) for step in written[name]]


def _step(written: Mapping[str, Any]) -> Step:
    verbs = [key for key in written if key in VERBS]
    if not verbs:
        raise Malformed(f"a step without a verb: {written!r}")
    verb, more = verbs[0], {key: value for key, value in written.items() if key != verbs[0]}
    if strange := more.keys() - VERBS[verb]:
        raise Malformed(f"`{verb}` knows no {', '.join(sorted(strange))}")
    return Step(verb, written[verb], more)
