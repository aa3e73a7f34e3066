"""Timestamps, and what a message is."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.protocol.message import Message, timestamp
from app.protocol.names import RoomName

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@given(st.integers(0, 253402300799999))
@example(0)
@example(951_782_400_000)  # 29 February 2000.
@example(1_800_000_000_999)
@example(1_800_000_001_000)
@example(253_402_300_799_999)
def test_a_timestamp_is_the_calendars(unix_ms: int) -> None:
    """RFC 3339 in UTC with three digits of milliseconds, as the calendar of the standard library has it."""
    text = timestamp(unix_ms)
    assert datetime.fromisoformat(text) == EPOCH + timedelta(milliseconds=unix_ms)
    assert (len(text), text[-5], text[-1]) == (24, ".", "Z")


@given(st.lists(st.integers(1_799_999_999_000, 1_800_000_001_000), min_size=2, max_size=6))
def test_timestamps_sort_as_their_times_do(times: list[int]) -> None:
    """Remembering the last second changes no timestamp, whatever the order of the questions."""
    assert sorted(map(timestamp, times)) == [timestamp(unix_ms) for unix_ms in sorted(times)]


def test_a_message_cannot_be_changed() -> None:
    """All pods and all members share one message."""
    message = Message(RoomName("a"), b"1", timestamp(0))
    with pytest.raises(AttributeError):
        message.payload = b"2"  # type: ignore[misc]  # that it is refused is the point
