"""The reference that judges the storm agrees with the rules written by hand, and inputs can be repeated."""

import random

import pytest

from tests.conformance.inputs import make
from tests.conformance.messages import Environment
from tests.conformance.reference import judge
from tests.conformance.rules import STREAMS
from tests.conformance.streams import pieces
from tests.conformance.wire import FIN, TEXT, frame

ENVIRONMENT = Environment("token", "another", "key", "elsewhere")


@pytest.mark.parametrize("name", STREAMS)
def test_the_reference_agrees_with_the_rules(name: str) -> None:
    """The reference decoder and the rules give the same result."""
    data, allowed = STREAMS[name]
    verdict = judge(data)
    assert not verdict.waits
    assert (verdict.codes or {"lives"}) == allowed


def test_a_stream_that_stops_inside_a_frame_proves_nothing() -> None:
    """For a whole message cut off at any point, the reference waits for the rest."""
    whole = frame(FIN | TEXT, b"x" * 300, b"mask")
    assert all(judge(whole[:end]).waits for end in range(1, len(whole)))
    assert judge(whole) == judge(b"")


def test_an_input_can_be_repeated() -> None:
    """The same seed and number give the same bytes, and another seed gives others."""
    first, again, other = ([make(seed, number, ENVIRONMENT) for number in range(300)] for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_pieces_are_the_whole() -> None:
    """The pieces of a stream joined together are the stream."""
    rng = random.Random(1)
    assert all(b"".join(pieces(rng, b"stream of bytes")) == b"stream of bytes" for _ in range(100))
