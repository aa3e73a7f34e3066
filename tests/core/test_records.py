"""Rights, limits, policies, the hub and the pod's life: the parts that need no loop."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestay.core.fanout.connection import Connection
from forestay.core.rules.access import Identity, Right, Rights
from forestay.core.rules.lifecycle import Lifecycle, State
from forestay.core.rules.policies import Policies, Policy, Slow, parse_policy
from forestay.core.rules.rate_limit import MAX_REFUSED, TokenBucket
from forestay.protocol.codes import Refusal
from forestay.protocol.names import RoomName, personal_room
from tests.support.core import RecordingTransport

ROOM = RoomName("chat.lobby")


def connection(user: str, id_: str) -> Connection:
    return Connection(
        id_, Identity(user, Rights({}), 0.0), RecordingTransport(), TokenBucket(1, 0.0), 0.0, lambda *_: None
    )


def test_matching_patterns_unite_and_nothing_wins_over_all() -> None:
    """`r` from one and `w` from another are both; `""` is neither."""
    assert Rights({"chat.*": "r", "**": "w"}).of(ROOM) == Right.JOIN | Right.BROADCAST
    assert Rights({"chat.*": "", "**": "rw"}).of(ROOM) == Right(0)
    assert Rights({}).of(ROOM) == Right(0)


def test_a_personal_room_needs_no_right_and_gives_no_other() -> None:
    """Joined by its owner, spoken to by backends."""
    assert Right.JOIN in Rights({}).of(personal_room("alice"))
    assert Right.BROADCAST not in Rights({"**": "rwph"}).of(personal_room("alice"))


def test_a_lacking_right_is_refused_by_name() -> None:
    """The sentence says which letter in which room."""
    with pytest.raises(Refusal, match=r"'w' in chat\.lobby"):
        Identity("alice", Rights({"**": "r"}), 0.0).require(Right.BROADCAST, ROOM)


def test_the_memory_of_decisions_is_bounded() -> None:
    """A client can ask about as many names as it likes."""
    rights = Rights({"**": "r"})
    for number in range(10_000):
        rights.of(RoomName(f"room-{number}"))
    assert len(rights._known) <= 256


@given(st.lists(st.floats(0, 0.5), min_size=1, max_size=200))
def test_no_window_holds_more_than_burst_and_rate(gaps: list[float]) -> None:
    """However the messages fall."""
    rate, burst, now = 10.0, 5.0, 0.0
    bucket = TokenBucket(burst, now)
    allowed: list[float] = []
    for gap in gaps:
        now += gap
        if bucket.wait(rate, burst, now) == 0:
            allowed.append(now)
    for at, start in enumerate(allowed):
        for count, end in enumerate(allowed[at:], start=1):
            assert count <= burst + rate * (end - start) + 1e-6


def run(rate_sent: float, seconds: float) -> tuple[int, bool, TokenBucket]:
    """A client that sends `rate_sent` a second against 200: how many passed, and whether it ran out."""
    bucket, passed, exhausted = TokenBucket(400, 0.0), 0, False
    for number in range(int(rate_sent * seconds)):
        now = number / rate_sent
        passed += bucket.wait(200, 400, now) == 0
        exhausted = exhausted or bucket.exhausted(now)
    return passed, exhausted, bucket


def test_a_flood_gets_nothing_through_and_runs_out() -> None:
    """After its burst, and after the time of patience."""
    passed, exhausted, bucket = run(10_000, MAX_REFUSED + 0.5)
    assert passed < 400 + 200 * 0.2
    assert exhausted
    assert bucket.wait(200, 400, MAX_REFUSED + 2.0) == 0, "whoever stops is heard again"


def test_a_moderate_excess_is_refused_in_part_and_never_ended() -> None:
    """A quarter too fast is no flood."""
    passed, exhausted, _ = run(250, 60)
    assert not exhausted
    assert passed > 150 * 60


def test_every_move_of_a_pod_is_in_the_table() -> None:
    """And every other one is a bug that says so."""
    legal = {
        (State.STARTING, State.READY),
        (State.STARTING, State.DRAINING),
        (State.STARTING, State.STOPPED),
        (State.READY, State.SATURATED),
        (State.READY, State.DEGRADED),
        (State.READY, State.DRAINING),
        (State.SATURATED, State.READY),
        (State.SATURATED, State.DEGRADED),
        (State.SATURATED, State.DRAINING),
        (State.DEGRADED, State.READY),
        (State.DEGRADED, State.SATURATED),
        (State.DEGRADED, State.DRAINING),
        (State.DRAINING, State.STOPPED),
    }
    for start in State:
        for end in State:
            life = Lifecycle()
            life._state = start
            if (start, end) in legal:
                life.move(end)
                assert life.state is end
            else:
                with pytest.raises(RuntimeError, match=start.value):
                    life.move(end)


def test_the_first_policy_that_matches_decides() -> None:
    """And what it does not say is as shipped."""
    policies = Policies([Policy("chat.vip", echo=False), parse_policy({"pattern": "chat.*", "slow": "drop_oldest"})])
    assert not policies.of(RoomName("chat.vip")).echo
    assert policies.of(ROOM).slow is Slow.DROP_OLDEST
    assert policies.of(RoomName("news")).slow is Slow.DISCONNECT


def test_a_room_that_announces_who_comes_has_presence() -> None:
    """Saying one is enough; presence alone announces nobody."""
    assert parse_policy({"pattern": "*", "join_leave": True}).presence
    assert not parse_policy({"pattern": "*", "presence": True}).join_leave


@pytest.mark.parametrize(
    ("table", "named"),
    [
        ({}, "pattern"),
        ({"pattern": "a.**.b"}, "pattern"),
        ({"pattern": "*", "echo": "yes"}, "echo"),
        ({"pattern": "*", "slow": "drop"}, "slow"),
        ({"pattern": "*", "retention": {}}, "retention"),
        ({"pattern": "*", "presence": 1}, "presence"),
        ({"pattern": "*", "presence": False, "join_leave": True}, "join_leave"),
        ({"pattern": "*", "history": {"size": 1}}, "history"),
        ({"pattern": "*", "history": {"size": 0, "ttl": 1}}, "size"),
        ({"pattern": "*", "history": {"size": 1, "ttl": 0}}, "ttl"),
    ],
)
def test_a_bad_policy_names_what_is_wrong(table: dict[str, object], named: str) -> None:
    """A word that is not known is most often a slip."""
    with pytest.raises(ValueError, match=named):
        parse_policy(table)
