"""Writes docs/peers.md from what runs of seven rounds left in `bench/results/`: `python -m bench.peers.page`."""

import json
from pathlib import Path
from typing import Any

from bench.page import table
from bench.peers.benches import benches
from bench.peers.goals import COLUMNS, judged
from bench.peers.table import PEERS
from bench.rounds import RESULTS

PAGE = Path(__file__).parent.parent.parent / "docs" / "peers.md"

_HEAD = """\
# Forestay beside others

This page is for readers who choose between Forestay and another server. It is written by `python -m bench.peers.page`
from the last runs of seven rounds. The servers of a table took turns on one machine of two cores, with the load beside
them, each written as its own tutorial writes it. Every table says how many rounds it is the median of. Figures per
CPU-second hold on a busy machine. Latencies hold within one table only, and a rate above what a server can take shows
as seconds of latency and as lost messages: the load does not wait.

A server that does less per message can be faster, and several here are. A message through Forestay has passed a rate
limit, rights, a check of the payload and a trace context. `forestay` runs from the source tree, `forestay-compiled`
from a wheel with compiled modules.

The tables are of a CPython that was built with profile-guided optimization, as that of the image and those of
distributions are. One that `pyenv` builds is not, unless `PYTHON_CONFIGURE_OPTS` asks for it, and a message costs more
there.

## To run it again

    python -m bench peers                        # all of it, seven rounds: some hours
    python -m bench peers --compiled .venv-compiled/bin/python
    python -m bench peers --peers uws,ws,centrifugo --benches small-2000,inbound,connect
    python -m bench peers --quick                # a few minutes: shows that it works, measures nothing

One command installs the peers from npm, PyPI and the Go proxy into `.bench_cache`, in the versions of
`bench/versions.toml`, and ends with a verdict for each goal. It needs Node and npm, Go, and a Redis. What is missing is
named, and its peers are left out. A run of seven rounds or more keeps its tables for this page, with the servers that
took part; one of fewer rounds only prints them.

The load generator counts a mark in the payload of each message. So it needs to know of each protocol only how a client
joins and publishes (`bench/dialects.py`), and it counts several messages in a frame, or one in two reads, correctly.

## The servers
"""


def page(results: Path = RESULTS) -> str:
    """The whole page. A bench that has no kept run yet has no section."""
    lines = [_HEAD, "| | Version | What it is, and what it is not |", "| --- | --- | --- |"]
    lines += [f"| {name} | {peer.version()} | {peer.is_what} |" for name, peer in PEERS.items()]
    found = {file.stem.removeprefix("peers-"): json.loads(file.read_text()) for file in _files(results)}
    if rows := [row for bench, one in found.items() for row in judged(bench, one["rounds"], _ours(one["rounds"]))]:
        lines += ["", "## Goals", "", "Our figure by theirs in the same round: the median, and its 95 % interval.", ""]
        lines += ["| " + " | ".join(COLUMNS) + " |", "| --- " * len(COLUMNS) + "|"]
        lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([*lines, "", *(_section(bench, one) for bench, one in found.items())])


def _ours(rounds: dict[str, Any]) -> str:
    return "forestay-compiled" if "forestay-compiled" in rounds else "forestay"


def _files(results: Path) -> list[Path]:
    """The results, in the order of the run."""
    files = [results / f"peers-{bench}.json" for bench in benches(1, "", quick=False)]
    return [file for file in files if file.exists()]


def _section(bench: str, found: dict[str, Any]) -> str:
    number = len(next(iter(found["rounds"].values())))
    remark = f"`--benches {bench}`, {'median of ' if number > 1 else ''}{number} round{'s' if number > 1 else ''}."
    remark += f" {found['note'].rstrip('.')}." if "note" in found else ""
    picture = f"![{found['title']}](../bench/results/peers-{bench}.svg)"
    return "\n".join([f"## {found['title']}", "", remark, "", *table(found["median"]), "", picture, ""])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
