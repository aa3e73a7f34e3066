"""Answers of the API server that nest too deep are refused before a parser sees them."""

import pytest

from forestay.ops.kubernetes.answers import read_line, read_list, read_reason
from forestay.ops.kubernetes.unanswered import Cause, Unanswered


def nested(levels: int) -> str:
    """`levels` arrays, one in the other."""
    return "[" * levels + "]" * levels


def listing(levels: int) -> bytes:
    return f'{{"metadata":{{"resourceVersion":"7"}},"items":[],"x":{nested(levels)}}}'.encode()


def line(levels: int) -> bytes:
    item = f'{{"metadata":{{"name":"a","resourceVersion":"7"}},"x":{nested(levels)}}}'
    return f'{{"type":"ADDED","object":{item}}}'.encode()


def test_an_answer_within_the_limit_is_read() -> None:
    """Unknown fields may nest, up to 64 levels in all."""
    assert read_list(listing(63)) == ([], "7")
    assert read_line(line(62)).type == "ADDED"
    assert read_reason(f'{{"message":"no","x":{nested(63)}}}'.encode()) == "no"


@pytest.mark.parametrize("levels", [64, 5000])
def test_an_answer_that_nests_too_deep_is_garbage(levels: int) -> None:
    """A list and a line of a watch count as no answer, and an error has no reason."""
    with pytest.raises(Unanswered) as listed:
        read_list(listing(levels))
    with pytest.raises(Unanswered) as watched:
        read_line(line(levels))
    assert (listed.value.cause, watched.value.cause) == (Cause.GARBAGE, Cause.GARBAGE)
    assert read_reason(f'{{"message":"no","x":{nested(levels)}}}'.encode()) == ""
