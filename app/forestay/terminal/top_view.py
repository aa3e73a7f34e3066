"""Draws what `forestay top` shows: tables of pods, rooms, slow readers and what has happened, as lines of text."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from forestay.terminal.words import printable

Answer = Mapping[str, Any]
"""An answer of the API; one with `refused` in it says why there is none."""

_UNITS: Final = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def lines(answers: Mapping[str, Answer], url: str, by: str, now: float) -> list[str]:
    """The whole picture. `answers`: by `info`, `rooms`, `slow`, `closes` and `recent`. `now`: Unix seconds."""
    info = answers["info"]
    return [
        *_head(info, url, now),
        "",
        *_pods(info["pods"]),
        "",
        *_section(f"ROOMS BY {by.upper()}", answers["rooms"], _rooms),
        *_section("SLOW READERS", answers["slow"], _slow),
        *_section("ENDED, LAST 5 MINUTES", answers["closes"], _closes),
        *_section("LATELY", answers["recent"], _recent),
    ]


def _head(info: Answer, url: str, now: float) -> list[str]:
    rates = info.get("rates", {})
    clock = time.strftime("%H:%M:%S", time.localtime(now))
    of = f" of {info['limit']:,}" if info.get("limit") else ""
    parts = [
        f"in {_short(rates.get('received'))}/s",
        f"published {_short(rates.get('published'))}/s",
        f"delivered {_short(rates.get('delivered'))}/s",
        f"out {_short(rates.get('written_bytes'))}B/s",
    ]
    found = [
        f"forestay top  {url}  {clock}  pods {len(info['pods'])}  connections {info['connections']:,}{of}",
        "  ".join(parts),
    ]
    if not info["complete"]:
        found.append("not complete: a pod did not answer, or runs a release that does not know the question")
    return found


def _pods(pods: Sequence[Answer]) -> list[str]:
    rows = [("POD", "HOST", "VERSION", "STATE", "CONNS", "LIMIT", "SLOW", "IN/S", "OUT/S", "LAG", "MEMORY", "BUS")]
    for pod in pods:
        rates, bus, drain = pod.get("rates", {}), pod["bus"], pod.get("drain")
        state = pod["state"]
        if drain is not None:
            state += f" {drain['left']}/{drain['from']} left"
        elif pod.get("reason", "ready") not in ("ready", pod["state"]):
            state += f" ({pod['reason']})"
        trip = bus.get("round_trip_ms")
        rows.append(
            (
                pod["pod"],
                pod["host"],
                pod["version"],
                state,
                f"{pod['connections']:,}",
                _short(pod.get("limit")),
                _short(pod.get("slow")),
                _short(rates.get("received")),
                _short(rates.get("delivered")),
                "-" if "loop_lag_ms" not in pod else f"{pod['loop_lag_ms']:.1f} ms",
                f"{_short(pod.get('memory_bytes'))}B" if "memory_bytes" in pod else "-",
                ("up" if bus["up"] else "LOST") + ("" if trip is None else f" {trip:.1f} ms"),
            )
        )
    return table(rows, right=range(4, 11))


def _rooms(answer: Answer) -> list[str]:
    rows = [("ROOM", "MEMBERS", "MESSAGES/S", "DELIVERIES/S")]
    rows += [
        (room["room"], f"{room['members']:,}", _short(room["messages"]), _short(room["deliveries"]))
        for room in answer["rooms"]
    ]
    notes = []
    if answer["by"] == "traffic" and not answer["seconds"]:
        notes = ["the pods begin to count"]
    elif not answer["exact"]:
        notes = ["rooms that are spread over many pods may be missing"]
    return [*(table(rows, right=range(1, 4)) if len(rows) > 1 else ["none"]), *notes]


def _slow(answer: Answer) -> list[str]:
    rows = [("USER", "CONNECTION", "POD", "WAITING", "MISSES")]
    for one in answer["connections"]:
        waiting = f"{_short(one['waiting_bytes'])}B"
        rows.append((one["user"], one["id"], one["pod"], waiting, " ".join(one["slow_rooms"])))
    return table(rows, right=[3]) if len(rows) > 1 else ["none"]


def _closes(answer: Answer) -> list[str]:
    found: dict[tuple[str, str], int] = {}
    for minute in answer["minutes"]:
        for by in ("gateway", "client"):
            for code, number in minute[by].items():
                found[code, by] = found.get((code, by), 0) + number
    opened, away = (sum(minute[name] for minute in answer["minutes"]) for name in ("opened", "turned_away"))
    ended = [f"{code} by {by}: {number:,}" for (code, by), number in sorted(found.items(), key=lambda one: -one[1])]
    return ["  ".join([f"opened: {opened:,}", f"turned away: {away:,}", *ended])]


def _recent(answer: Answer) -> list[str]:
    rows = []
    for one in answer["recent"]:
        clock = time.strftime("%H:%M:%S", time.localtime(one["at"]))
        named = [str(one[name]) for name in ("user", "room", "code", "event", "policy", "reason") if one.get(name)]
        times = f"x{one['times']}" if one.get("times", 1) > 1 else ""
        rows.append((clock, one["pod"], one["kind"], times, " ".join(named)))
    return table(rows) if rows else ["nothing"]


def _section(title: str, answer: Answer, body: Callable[[Answer], list[str]]) -> list[str]:
    if "refused" in answer:
        return [title, f"  {printable(str(answer['refused']))}", ""]
    partly = "" if answer["complete"] else " (not complete)"
    return [title + partly, *[f"  {line}" for line in body(answer)], ""]


def table(rows: Sequence[Sequence[str]], right: Sequence[int] | range = ()) -> list[str]:
    """The rows in columns. `right`: the columns whose text is at the right."""
    texts = [[printable(cell)[:40] for cell in row] for row in rows]
    widths = [max(len(row[at]) for row in texts) for at in range(len(texts[0]))]
    return [
        "  ".join(cell.rjust(width) if at in right else cell.ljust(width) for at, (cell, width) in cells).rstrip()
        for cells in [list(enumerate(zip(row, widths, strict=True))) for row in texts]
    ]


def _short(number: float | None) -> str:
    """A number in a few characters, as 12.3k; `-` where it is not known."""
    if number is None:
        return "-"
    for size, unit in _UNITS:
        if number >= size:
            return f"{number / size:.1f}{unit}"
    return f"{number:.0f}" if number >= 100 or number == int(number) else f"{number:.1f}"
