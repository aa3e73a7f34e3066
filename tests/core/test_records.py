"""Rights, policies and the states of a pod decide without a loop."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestay.core.rules.access import Identity, Right, Rights, parse_rights
from forestay.core.rules.lifecycle import Lifecycle, State
from forestay.core.rules.policies import Policies, Policy, Slow, parse_policy
from forestay.protocol.codes import Refusal
from forestay.protocol.names import Pattern, RoomName, personal_room

ROOM = RoomName("chat.lobby")


def test_matching_patterns_unite_and_an_empty_right_wins() -> None:
    """`r` from one pattern and `w` from another give both rights. `""` takes all rights away."""
    assert Rights({"chat.*": "r", "**": "w"}).of(ROOM) == Right.JOIN | Right.BROADCAST
    assert Rights({"chat.*": "", "**": "rw"}).of(ROOM) == Right(0)
    assert Rights({}).of(ROOM) == Right(0)


def test_a_personal_room_needs_no_right_and_gives_no_other() -> None:
    """Its owner may always join it. No client may publish in it."""
    assert Right.JOIN in Rights({}).of(personal_room("alice"))
    assert Right.BROADCAST not in Rights({"**": "rwph"}).of(personal_room("alice"))


def test_a_lacking_right_is_refused_by_name() -> None:
    """The refusal names the missing letter and the room."""
    with pytest.raises(Refusal, match=r"'w' in chat\.lobby"):
        Identity("alice", Rights({"**": "r"}), 0.0).require(Right.BROADCAST, ROOM)


def test_the_memory_of_decisions_is_bounded() -> None:
    """A client can ask about any number of names, and the cache does not grow with them."""
    rights = Rights({"**": "r"})
    for number in range(10_000):
        rights.of(RoomName(f"room-{number}"))
    assert len(rights._known) <= 256


def test_every_move_of_a_pod_is_in_the_table() -> None:
    """Every other move raises RuntimeError, which names the state."""
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
    """Fields that are not given have their defaults."""
    policies = Policies([Policy("chat.vip", echo=False), parse_policy({"pattern": "chat.*", "slow": "drop_oldest"})])
    assert not policies.of(RoomName("chat.vip")).echo
    assert policies.of(ROOM).slow is Slow.DROP_OLDEST
    assert policies.of(RoomName("news")).slow is Slow.DISCONNECT


def test_a_room_with_join_leave_has_presence() -> None:
    """`join_leave` turns presence on. `presence` does not turn `join_leave` on."""
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
    """The error names the bad field. An unknown field is most often a typing error."""
    with pytest.raises(ValueError, match=named):
        parse_policy(table)


SEGMENTS = st.lists(st.sampled_from(["a", "b", "", "*"]), min_size=1, max_size=4)
PATTERNS = st.tuples(SEGMENTS, st.sampled_from(["", ".**"])).map(lambda made: ".".join(made[0]) + made[1])
NAMES = (
    st.lists(st.sampled_from(["a", "b", ""]), min_size=1, max_size=5)
    .map(".".join)
    .filter(lambda text: text[:1] in ("a", "b"))
)


@given(
    st.dictionaries(PATTERNS.filter(lambda text: text[:1] in ("a", "b", "*")), st.sampled_from(["", "r", "w", "rwph"])),
    NAMES,
)
def test_the_tree_of_rules_decides_like_its_patterns(letters: dict[str, str], name: str) -> None:
    """The rights in a room are those of the patterns that match it, tried one by one."""
    matching = [parse_rights(rights) for text, rights in letters.items() if Pattern(text).matches(name)]
    united = Right(0)
    for rights in matching:
        united |= rights
    assert Rights(letters).of(RoomName(name)) == (united if all(matching) else Right(0))
