"""Writes docs/capacity.md from what `python -m bench capacity` left: `python -m bench.capacity_page`."""

import json
from collections.abc import Mapping
from pathlib import Path

from bench.page import table
from bench.rounds import RESULTS

PAGE = Path(__file__).parent.parent / "docs" / "capacity.md"
_HEAD = """\
# Capacity

How the cost of a pod grows, and where Redis is the limit: for operators who plan how many pods they need. Written by
`python -m bench.capacity_page` from the last run of `python -m bench capacity`: {number}, on a machine of two cores
that the load shared, not compiled. So take it as an order of size, and run the command on your own machine.

A pod is one process. Its event loop uses one core, so plan for 60 % of a core: above that, latency grows. Messages into
large rooms get cheaper per delivery with their rate, because a pass writes several of them at once.

## The calculator

| What you have | Formula | Here |
| --- | --- | --- |
| memory of a pod, MiB | 80 + connections x c + rooms x r | c = {connection:.1f} KiB, r = {room:.1f} KiB |
| CPU of inbound messages, cores | messages/s x i, with one delivery each | i = {inbound:.0f} µs |
| CPU of deliveries, small rooms, cores | deliveries/s x s | s = {small:.1f} µs |
| CPU of deliveries, a room of 1,000 at 100/s, cores | deliveries/s x l | l = {large:.1f} µs |
| CPU of connecting, cores | connections/s x j, with token and join | j = {joining:.0f} µs |
| CPU of Redis, cores | messages/s x (a + pods that hear it x b) | a = {publish:.0f} µs, b = {push:.0f} µs |

For example, 10,000 connections in 2,500 rooms of four, with 500 messages/s in all, take {memory:,.0f} MiB, and
500 x {inbound:.0f} µs + 1,500 x {small:.1f} µs = {cpu:.0f} % of a core.

Pods divide connections and inbound messages among them. They do not divide the deliveries of one large room, but each
pod delivers to its own members only. A message is published once, and Redis sends it to each pod with a member of its
room.
"""
_REDIS = """\
## Where Redis is the limit

One Redis works on one core for publishing. It is full at about 1 / (a + pods x b) messages a second in all, where
*pods* is the mean number of pods that have members of a message's room. Small rooms are on few pods, so they scale with
pods. A room whose members are on all pods costs one push for each pod and message.

What to do then, in this order:

1. **Send less.** Several events in one message cost one publish.
2. **Keep a room's members together** where your balancer can: fewer pods hear each message.
3. **Take a Redis Cluster.** The gateway uses sharded publish and subscribe there, and divides the rooms over its
   partitions. Each node then carries its part of the rooms, and [the page about Redis](redis.md) says how to set it up.
4. **A single room stays on one node.** Its messages have one order, so a room above the limit of a node has to be
   divided by the application.

History and presence add commands for each message, join and leave in rooms that have them. They are not part of these
figures.
"""


def page(results: Path = RESULTS) -> str:
    """The whole page."""
    kept = json.loads((results / "capacity.json").read_text())
    tables: dict[str, dict[str, dict[str, float]]] = kept["tables"]
    rounds = kept["rounds"]
    number = "one round" if rounds == 1 else f"medians of {rounds} rounds"
    lines = [_HEAD.format(number=number, **_coefficients(tables)), _REDIS, "## What was measured", ""]
    for title, rows in tables.items():
        lines += [f"### {title[0].upper()}{title[1:]}", "", *table(rows), ""]
    lines += [
        "Steps that the limit of open files does not allow are left out: the pod and the load generator need a file",
        "for each connection. `ulimit -Hn` shows the limit; 50,000 connections need 51,500.",
        "",
    ]
    return "\n".join(lines)


def _coefficients(tables: Mapping[str, Mapping[str, Mapping[str, float]]]) -> dict[str, float]:
    together, apart, members, _, pods, inbound = (list(rows.values()) for rows in tables.values())
    connection = together[-1]["KiB/connection"]
    room = max(0.0, apart[-1]["KiB/connection"] - connection)
    heard = [int(count) for count in list(tables.values())[4]]
    spent = [row["Redis us CPU/message"] for row in pods]
    push = max(0.0, (spent[-1] - spent[0]) / (heard[-1] - heard[0]))
    small, each = members[0]["us CPU/delivery"], inbound[0]["us CPU/message"]
    return {
        "connection": connection,
        "room": room,
        "inbound": each,
        "small": small,
        "large": list(tables.values())[3]["100"]["us CPU/delivery"],
        "joining": together[-1]["us CPU/connection"],
        "push": push,
        "publish": max(0.0, spent[0] - push * heard[0]),
        "memory": 80 + (10_000 * connection + 2_500 * room) / 1024,
        "cpu": (500 * each + 1_500 * small) / 1e4,
    }


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
