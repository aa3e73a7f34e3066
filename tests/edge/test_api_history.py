"""A backend reads the parts of a history."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.gateway import Pod, call, gateway

HISTORY = '[[rooms]]\npattern = "log.*"\n[rooms.history]\nsize = 10\nttl = 60\n'


async def page(pod: Pod, query: str) -> tuple[list[int], bool]:
    """The offsets of a page, and whether there are more."""
    status, answer = await call(pod, "GET", f"/v1/rooms/log.a/history?{query}")
    assert status == 200, answer
    messages: Any = answer["messages"]
    return [one["offset"] for one in messages], bool(answer["more"])


@pytest.mark.parametrize(
    ("query", "offsets", "more"),
    [
        ("", [1, 2, 3, 4, 5], False),
        ("limit=2", [4, 5], True),
        ("{epoch}&since=2", [3, 4, 5], False),
        ("{epoch}&before=3", [1, 2], False),
        ("{epoch}&since=1&before=4", [2, 3], False),
        ("{epoch}&since=1&before=4&limit=1", [2], True),
        ("{epoch}&since=1&before=4&limit=2", [2, 3], True),
        ("{epoch}&since=4&before=2", [], False),
        ("since=2", [3, 4, 5], False),
        ("before=3", [1, 2], False),
        ("since=1&before=4", [2, 3], False),
        ("epoch=other&since=2", [1, 2, 3, 4, 5], False),
        ("epoch=other&since=2&before=3", [1, 2, 3, 4, 5], False),
        ("epoch=other", [1, 2, 3, 4, 5], False),
    ],
)
async def test_the_bounds_may_come_alone_together_and_without_an_epoch(
    tmp_path: Path, query: str, offsets: list[int], *, more: bool
) -> None:
    """Without an epoch they are offsets of the present one. Another epoch is before the oldest kept message."""
    rooms = tmp_path / "rooms.toml"
    rooms.write_text(HISTORY)
    async with gateway(rooms_file=str(rooms)) as running:
        for _ in range(5):
            position = (await call(running, "POST", "/v1/rooms/log.a/messages", b'{"payload": 1}'))[1]
        assert await page(running, query.format(epoch=f"epoch={position['epoch']}")) == (offsets, more)


@pytest.mark.parametrize("query", ["since=-1", "before=x", "since=", "since=1&since=2", "limit=0", "limit=1&limit=1"])
async def test_a_bound_that_is_no_offset_is_refused(tmp_path: Path, query: str) -> None:
    """A value that comes twice, too: one of the two would be ignored."""
    rooms = tmp_path / "rooms.toml"
    rooms.write_text(HISTORY)
    async with gateway(rooms_file=str(rooms)) as running:
        status, problem = await call(running, "GET", f"/v1/rooms/log.a/history?{query}")
        assert (status, problem["code"]) == (400, "bad_message")
