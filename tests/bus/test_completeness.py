"""When Redis knows all pods, as a table of what one pod saw of it. No Redis is asked."""

import pytest

from forestay.bus.redis.completeness import Completeness, Memory

# One node in one run, with data.
HERE = Memory("run 1", "seed 1")
LOST, SETTLES = "lost", "settles"
SETTLING = 10.0


def doubted(completeness: Completeness, memory: Memory, now: float) -> str | None:
    """The word of the table for the doubt."""
    doubt = completeness.doubt(memory, now)
    return None if doubt is None else LOST if "may have lost" in doubt else SETTLES


@pytest.mark.parametrize(
    ("lossless", "asked", "now", "answer"),
    [
        # The first heartbeat is at 100. Redis has lost nothing for so long by then, and is asked at `now`.
        (3600, HERE, 100, None),
        (10, HERE, 100, None),
        (9, HERE, 100, SETTLES),
        (0, HERE, 109, SETTLES),
        (0, HERE, 110, None),
        (4, HERE, 105, SETTLES),
        (4, HERE, 106, None),
        # Another run, other data, or none: each may have lost pods, however long ago the last loss was.
        (3600, Memory("run 2", "seed 1"), 100, LOST),
        (3600, Memory("run 1", "seed 2"), 100, LOST),
        (3600, Memory("run 1", None), 100, LOST),
        (0, Memory("run 2", "seed 2"), 100, LOST),
    ],
)
def test_what_makes_an_answer_complete_after_the_first_heartbeat(
    lossless: float, asked: Memory, now: float, answer: str | None
) -> None:
    """Redis knows all pods if it has not lost data since the heartbeat, and had time to hear of all of them."""
    completeness = Completeness(SETTLING)
    assert completeness.note(HERE, lossless, 100) is False
    assert doubted(completeness, asked, now) == answer


def test_before_the_first_heartbeat_nothing_is_known() -> None:
    """A pod that has sent none cannot tell whether Redis knows all pods, but nothing of it has moved either."""
    completeness = Completeness(SETTLING)
    assert doubted(completeness, HERE, 100) == LOST
    assert completeness.moved("run 1") is False


def test_a_pod_that_was_there_before_waits_for_the_others_too() -> None:
    """It notes the loss with its next heartbeat. It has not heard of pods that started after the one before."""
    completeness = Completeness(SETTLING)
    completeness.note(HERE, 3600, 100)
    after = Memory("run 2", "seed 2")
    assert completeness.moved("run 2") is True
    assert completeness.note(after, 1, 105) is True
    assert doubted(completeness, after, 105) == SETTLES
    assert completeness.moved("run 2") is False
    assert completeness.note(after, 6, 110) is False
    assert doubted(completeness, after, 113) == SETTLES
    assert doubted(completeness, after, 114) is None
    # What it knew before is the older state now.
    assert doubted(completeness, HERE, 114) == LOST


def test_a_first_replica_is_no_loss() -> None:
    """Redis is another incarnation of the same data then, as the scripts can prove: no pod waits."""
    completeness = Completeness(SETTLING)
    completeness.note(HERE, 3600, 100)
    after = Memory("run 2", "seed 1")
    assert completeness.note(after, 3605, 105) is True
    assert doubted(completeness, after, 105) is None
