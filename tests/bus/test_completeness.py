"""When Redis knows all pods, as a table of what one pod saw of it. No Redis is asked."""

import pytest

from forestay.bus.redis.completeness import Completeness, Memory

# One node in one run, with data.
HERE = Memory("run 1", "seed 1")
LOST, STARTED = "lost", "started"
SETTLING = 10.0


def doubted(completeness: Completeness, memory: Memory, now: float) -> str | None:
    """The word of the table for the doubt."""
    doubt = completeness.doubt(memory, now)
    return None if doubt is None else LOST if "may have lost" in doubt else STARTED


@pytest.mark.parametrize(
    ("memory", "uptime", "asked", "now", "answer"),
    [
        # The first heartbeat is at 100. Redis has run for so long by then, and is asked at `now`.
        (HERE, 3600, HERE, 100, None),
        (HERE, 10, HERE, 100, None),
        (HERE, 9, HERE, 100, STARTED),
        (HERE, 0, HERE, 109, STARTED),
        (HERE, 0, HERE, 110, None),
        (HERE, 4, HERE, 105, STARTED),
        (HERE, 4, HERE, 106, None),
        # A server that does not say for how long it has run, as managed ones may.
        (HERE, None, HERE, 100, None),
        # Another run, other data, or none: each may have lost pods, however long ago Redis started.
        (HERE, 3600, Memory("run 2", "seed 1"), 100, LOST),
        (HERE, 3600, Memory("run 1", "seed 2"), 100, LOST),
        (HERE, 3600, Memory("run 1", None), 100, LOST),
        (HERE, 0, Memory("run 2", "seed 2"), 100, LOST),
    ],
)
def test_what_makes_an_answer_complete_after_the_first_heartbeat(
    memory: Memory, uptime: float | None, asked: Memory, now: float, answer: str | None
) -> None:
    """Redis knows all pods if it has not lost data since the heartbeat, and had time to hear of all of them."""
    completeness = Completeness(SETTLING)
    assert completeness.note(memory, uptime, 100) is False
    assert doubted(completeness, asked, now) == answer


def test_before_the_first_heartbeat_nothing_is_known() -> None:
    """A pod that has sent none cannot tell whether Redis knows all pods, but nothing of it has moved either."""
    completeness = Completeness(SETTLING)
    assert doubted(completeness, HERE, 100) == LOST
    assert completeness.moved("run 1") is False


def test_a_pod_that_was_there_before_knows_the_others() -> None:
    """It notes the loss with its next heartbeat, and waits for no Redis that starts then: it remembers the pods."""
    completeness = Completeness(SETTLING)
    completeness.note(HERE, 3600, 100)
    after = Memory("run 2", "seed 2")
    assert completeness.moved("run 2") is True
    assert completeness.note(after, 1, 105) is True
    assert doubted(completeness, after, 105) is None
    assert completeness.moved("run 2") is False
    assert completeness.note(after, 6, 110) is False
    # What it knew before is the older state now.
    assert doubted(completeness, HERE, 110) == LOST
