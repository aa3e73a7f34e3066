"""Decides what counts as conforming: every case of the Autobahn suite is checked, every exception is named.

The fuzzer exits with 0 for any result, and does not report cases that it did not reach. So both of its verdicts on each
case are read, and the cases are counted.
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

Reported = Mapping[str, Mapping[str, object]]
"""The fuzzer's index: its verdicts on each case."""


class Shard(NamedTuple):
    """Cases of one run. A failed run loses only its own cases."""

    title: str
    patterns: tuple[str, ...]
    expected: int
    """The number of these cases in version 25.10.1 of the suite."""


# Kinds of compressed messages, and of offers. Their cases differ in the size of the messages.
_KINDS: Final = (*(f"12.{kind}" for kind in range(1, 6)), *(f"13.{kind}" for kind in range(1, 8)))

SHARDS: Final = (
    Shard("1-4  framing, pings, reserved bits, opcodes", ("1.*", "2.*", "3.*", "4.*"), 44),
    Shard("5    fragmentation", ("5.*",), 20),
    Shard("6    UTF-8", ("6.*",), 145),
    Shard("7,10 closing, automatic fragments", ("7.*", "10.*"), 38),
    Shard("9    large messages, many messages", ("9.*",), 54),
    Shard("12   compression", ("12.*",), 90),
    Shard("13   parameters of compression", ("13.*",), 126),
)

SHORT: Final = (
    *(shard for shard in SHARDS if "compression" not in shard.title),
    Shard("12,13 compression, the second case of each kind", tuple(f"{group}.2" for group in _KINDS), 12),
)
"""Without most cases of compression, which take a quarter of an hour."""


class _Exception(NamedTuple):
    verdict: str
    cases: str
    reason: str


ALLOWED: Final = (
    _Exception("NON-STRICT", r"6\.4\.[1-4]", "text that is not UTF-8 is refused when the message is whole, not before"),
    _Exception("NON-STRICT", r"4\.[12]\.\d+", "whether an echo is written before a broken frame is read is a race"),
    _Exception("INFORMATIONAL", r"7\.1\.6|7\.13\.[12]", "the standard has no right answer"),
)


@dataclass(slots=True)
class Result:
    """The result of one shard."""

    shard: Shard
    verdicts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


def examine(shard: Shard, reported: Reported) -> Result:
    """Judges the fuzzer's report `reported` about `shard`."""
    result = Result(shard)
    for case, verdict in reported.items():
        behavior, closing = str(verdict.get("behavior")), str(verdict.get("behaviorClose"))
        result.verdicts[behavior] += 1
        for what, found in (("behavior", behavior), ("close", closing)):
            if found != "OK" and not any(
                found == allowed.verdict and re.fullmatch(allowed.cases, case) for allowed in ALLOWED
            ):
                result.faults.append(f"case {case}: {what} {found}")
    if len(reported) != shard.expected:
        result.faults.append(f"{len(reported)} cases were run instead of {shard.expected}")
    return result


def table(results: list[Result]) -> str:
    """A row for each shard, and the faults."""
    columns = sorted({verdict for result in results for verdict in result.verdicts} - {"OK"})
    head = ["cases", "OK", *columns, "faults"]
    rows = [
        [
            result.shard.title,
            str(result.verdicts.total()),
            *(str(result.verdicts[name]) for name in ["OK", *columns]),
            str(len(result.faults)),
        ]
        for result in results
    ]
    totals = [str(sum(int(row[at]) for row in rows)) for at in range(1, len(head) + 1)]
    lines = [["section", *head], *rows, ["total", *totals]]
    left = max(len(line[0]) for line in lines)
    text = [
        line[0].ljust(left) + "".join(cell.rjust(len(name) + 3) for cell, name in zip(line[1:], head, strict=True))
        for line in lines
    ]
    return "\n".join([*text, *(f"FAULT {fault}" for result in results for fault in result.faults)])
