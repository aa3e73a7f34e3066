"""The checker finds each kind of broken promise, because a checker that finds nothing proves nothing."""

import pytest

from tests.faults.checker import Event, Heard, Published, complete, judge, judge_live

GOOD: list[Event] = [("joined", ("e", 0), None), ("broadcast", ("e", 1), 1), ("broadcast", ("e", 2), 2)]
PUBLISHED = Published({1: ("e", 1), 2: ("e", 2)}, {3: "unavailable", 4: "outcome_unknown"})


def test_a_kept_promise_is_no_fault() -> None:
    """A whole stream, one with a resync, and one that recovered after a reconnect have no fault."""
    resynced: list[Event] = [("joined", ("e", 0), None), ("resync", ("f", 7), "lost"), ("broadcast", ("f", 8), 9)]
    back: list[Event] = [*GOOD, ("joined", ("e", 3), True), ("broadcast", ("e", 3), 5)]
    assert judge(PUBLISHED, [Heard("a", GOOD)], ("e", 2)).broken == []
    assert judge(PUBLISHED, [Heard("a", resynced)], ("f", 8)).broken == []
    assert judge(PUBLISHED, [Heard("a", back)], ("e", 3)).broken == []


@pytest.mark.parametrize(
    ("events", "named"),
    [
        ([GOOD[0], GOOD[2]], "a gap"),
        ([*GOOD, GOOD[2]], "after"),
        ([GOOD[0], GOOD[1], ("broadcast", ("f", 1), 5)], "without a word"),
        ([GOOD[1]], "before it was in"),
        ([GOOD[0], ("broadcast", None, 1)], "without a place"),
        ([GOOD[0], ("broadcast", ("e", 1), 2)], "was acknowledged at"),
        ([*GOOD, ("broadcast", ("e", 3), 2)], "stands 2 times"),
        ([*GOOD, ("broadcast", ("e", 3), 3)], "was refused and heard"),
        ([*GOOD, ("joined", ("e", 9), True), ("broadcast", ("e", 9), 5)], "a gap"),
        (GOOD[:2], "stopped at"),
        ([("whispered", None, 1)], "received whispered"),
    ],
)
def test_a_broken_promise_is_found(events: list[Event], named: str) -> None:
    """A gap, a repeat, a wrong order or epoch, a shared position and a hole after `recovered` are found."""
    assert named in str(judge(PUBLISHED, [Heard("a", events)], ("e", 2)))


def test_two_members_who_heard_different_things_are_found() -> None:
    """Members that received different orders are found."""
    other: list[Event] = [GOOD[0], ("broadcast", ("e", 1), 7)]
    assert "to some and" in str(judge(Published(), [Heard("a", GOOD), Heard("b", other)]))


def test_a_live_room_may_lose_only_with_a_resync() -> None:
    """A room without history may lose messages only with `resync`, and never repeats or reorders."""
    published = Published({1: None, 2: None, 3: None})
    heard: list[Event] = [("joined", None, None), ("broadcast", None, 1), ("broadcast", None, 3)]
    assert "missed [2]" in str(judge_live(published, [Heard("a", heard)]))
    more: list[Event] = [*heard[:2], ("resync", None, "missed"), heard[2]]
    assert judge_live(published, [Heard("a", more)]).broken == []
    assert "after" in str(judge_live(published, [Heard("a", [*heard, heard[1]])]))


def test_a_member_that_missed_a_message_is_found() -> None:
    """A member that missed a message is found where no loss is allowed."""
    assert complete(PUBLISHED, {"a": Heard("a", GOOD[:2])}) == ["a never heard [2] (1 in all)"]
