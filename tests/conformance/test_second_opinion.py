"""What judges the storm is judged itself: it agrees with the rules written by hand, and its inputs can be had again."""

import random

import pytest

from tests.conformance.inputs import make
from tests.conformance.reference import judge
from tests.conformance.rules import STREAMS
from tests.conformance.sayings import Words
from tests.conformance.streams import pieces
from tests.conformance.wire import FIN, TEXT, frame

WORDS = Words("token", "another", "key", "elsewhere")


@pytest.mark.parametrize("name", STREAMS)
def test_the_reference_agrees_with_the_rules(name: str) -> None:
    """The reference decoder and the list of rules come to the same end, deviations included."""
    data, allowed = STREAMS[name]
    verdict = judge(data)
    assert not verdict.waits
    if verdict.open:
        assert len(allowed) > 1
    else:
        assert (verdict.codes or {"lives"}) == allowed


def test_a_stream_that_stops_inside_a_frame_proves_nothing() -> None:
    """Wherever a whole message is cut off, the reference waits for the rest."""
    whole = frame(FIN | TEXT, b"x" * 300, b"mask")
    assert all(judge(whole[:end]).waits for end in range(1, len(whole)))
    assert judge(whole) == judge(b"")


def test_an_input_can_be_had_again() -> None:
    """The same seed and number give the same bytes, another seed gives others."""
    first, again, other = ([make(seed, number, WORDS) for number in range(300)] for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_pieces_are_the_whole() -> None:
    """Cutting a stream into reads loses nothing of it."""
    rng = random.Random(1)
    assert all(b"".join(pieces(rng, b"stream of bytes")) == b"stream of bytes" for _ in range(100))
