"""`forestay check` says what the settings of time mean together."""

import pytest

from forestay.pod.times import explain_drain, slow_answers
from forestay.settings.settings import load
from tests.support.process import KEYS, forestay

PONG, SOCKETIO = "FORESTAY_PONG_TIMEOUT (10 s) is longer", "FORESTAY_SOCKETIO_PING_TIMEOUT (20 s) is longer"

# Settings, and the beginnings of the lines that they cause.
SLOW: dict[str, tuple[dict[str, str], list[str]]] = {
    "as shipped": ({"FORESTAY_SOCKETIO": "true"}, []),
    "short intervals": ({"FORESTAY_PING_INTERVAL": "3"}, [PONG]),
    "also for Socket.IO": ({"FORESTAY_PING_INTERVAL": "3", "FORESTAY_SOCKETIO": "true"}, [PONG, SOCKETIO]),
    "Socket.IO alone": ({"FORESTAY_PING_INTERVAL": "10", "FORESTAY_SOCKETIO": "true"}, [SOCKETIO]),
    "the same": ({"FORESTAY_PING_INTERVAL": "10"}, []),
}


@pytest.mark.parametrize(("environ", "begins"), SLOW.values(), ids=SLOW)
def test_a_time_to_answer_that_is_longer_than_the_interval_is_named(environ: dict[str, str], begins: list[str]) -> None:
    """One line for each, with what it means for a client that is gone, and what to do."""
    lines = slow_answers(load(KEYS | environ))
    assert len(lines) == len(begins)
    for line, start in zip(lines, begins, strict=True):
        assert line.startswith(start)
        assert "pings come every" in line
        assert "or less" in line


async def test_check_warns_of_it_and_succeeds() -> None:
    """The setting works, so the verdict stays `ok`."""
    code, out, _ = await forestay("check", **KEYS, FORESTAY_PING_INTERVAL="3")
    assert (code, f"warning: {PONG}" in out, out.splitlines()[-1]) == (0, True, "ok")


def test_a_shortened_window_is_a_warning() -> None:
    """A deadline below the budget shortens the window."""
    assert [line for line in explain_drain(load(KEYS)) if line.startswith("warning")] == []
    *_, last = explain_drain(load(KEYS | {"FORESTAY_DRAIN_DEADLINE": "5"}))
    assert last.startswith("warning: FORESTAY_DRAIN_DEADLINE (5 s)")
