"""Judges the records of publishers and members after a run: it finds broken promises.

The rules are those of docs/guarantees.md. They use records only, so that they share no mistake with the gateway.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

Place = tuple[str, int]
"""Epoch and offset."""


Event = tuple[str, Place | None, object]
"""The kind (`joined`, `broadcast`, `resync` or `lost`), the position, and the payload, reason or `recovered`."""


@dataclass
class Heard:
    """What one member received in one room, in order, over all its connections."""

    who: str
    events: list[Event] = field(default_factory=list)


@dataclass
class Published:
    """What one publisher sent in one room, by its number: the position of its `ack`, or the code of its `error`."""

    acknowledged: dict[int, Place | None] = field(default_factory=dict)
    refused: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Verdict:
    """The result: broken promises as sentences, and counts of what is allowed."""

    broken: list[str]
    heard: int
    resyncs: int
    unrecovered: int
    unknown: int

    def __str__(self) -> str:
        counts = f"{self.heard} heard, {self.resyncs} resyncs, {self.unrecovered} not recovered, {self.unknown} unknown"
        return "; ".join([counts, *self.broken])


def judge(published: Published, connections: Iterable[Heard], final: Place | None = None) -> Verdict:
    """Judges a room with history. `final`: its last position, and the members that are still there."""
    broken: list[str] = []
    at: dict[Place, object] = {}
    resyncs = unrecovered = heard = 0
    for one in connections:
        here: Place | None = None
        for kind, place, what in one.events:
            match kind:
                case "joined":
                    unrecovered += what is False
                    # With `recovered` the missed messages follow, from this client's position.
                    here = here if what is True else place
                case "resync":
                    resyncs += 1
                    here = place
                case "broadcast":
                    heard += 1
                    broken += _step(one.who, here, place, what)
                    if place is not None:
                        if at.setdefault(place, what) != what:
                            broken.append(f"{place} is {at[place]} to some and {what} to {one.who}")
                        here = place
                case "lost":
                    pass
                case _:
                    broken.append(f"{one.who} received {kind}")
        if final is not None and one.events and one.events[-1][0] != "lost" and here != final:
            broken.append(f"{one.who} stopped at {here}, and the room is at {final}")
    for number, there in published.acknowledged.items():
        if there in at and at[there] != number:
            broken.append(f"{number} was acknowledged at {there}, where {at[there]} stands")
    copies = Counter(what for what in at.values())
    broken += [f"{what} stands {times} times" for what, times in copies.items() if times > 1]
    broken += [
        f"{number} was refused and heard"
        for number, code in published.refused.items()
        if _surely_not(code) and number in copies
    ]
    unknown = sum(code == "outcome_unknown" for code in published.refused.values())
    return Verdict(sorted(set(broken)), heard, resyncs, unrecovered, unknown)


def judge_live(published: Published, connections: Iterable[Heard]) -> Verdict:
    """Judges a room without history: at most once, in order, and no acknowledged message missing without `resync`."""
    broken: list[str] = []
    resyncs = heard = 0
    for one in connections:
        last: int | None = None
        announced = True
        for kind, _, what in one.events:
            if kind in ("resync", "joined"):
                resyncs += kind == "resync"
                announced = True
            elif kind == "broadcast" and isinstance(what, int):
                heard += 1
                if last is not None and what <= last:
                    broken.append(f"{one.who} heard {what} after {last}")
                elif last is not None and not announced:
                    missing = [number for number in range(last + 1, what) if number in published.acknowledged]
                    if missing:
                        broken.append(f"{one.who} missed {missing[:3]}… without a word")
                last, announced = what, False
    unknown = sum(code == "outcome_unknown" for code in published.refused.values())
    return Verdict(sorted(set(broken)), heard, resyncs, 0, unknown)


def complete(published: Published, connections: Mapping[str, Heard]) -> list[str]:
    """Checks that every member received every acknowledged message."""
    found: list[str] = []
    for who, one in connections.items():
        had = {what for kind, _, what in one.events if kind == "broadcast"}
        missing = sorted(published.acknowledged.keys() - had)
        if missing:
            found.append(f"{who} never heard {missing[:5]} ({len(missing)} in all)")
    return found


def _step(who: str, here: Place | None, place: Place | None, what: object) -> list[str]:
    if place is None:
        return [f"{who} heard {what} without a place"]
    if here is None:
        return [f"{who} heard {what} before it was in"]
    if place[0] != here[0]:
        return [f"{who} went from {here} to {place} without a word"]
    if place[1] <= here[1]:
        return [f"{who} heard {place} after {here}"]
    if place[1] > here[1] + 1:
        return [f"{who} went from {here} to {place}: a gap"]
    return []


def _surely_not(code: str) -> bool:
    return code in ("unavailable", "forbidden", "rate_limited")
