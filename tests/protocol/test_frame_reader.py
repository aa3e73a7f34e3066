"""The reader of frames: every message comes out as it was sent, and every stream that breaks a rule ends."""

import os
import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestay.protocol.websocket import masks, unmasking
from forestay.protocol.websocket.reading import Event, FrameReader, Kind, Violation
from tests.conformance.reference import judge

TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10
MOST, FRAGMENTS = 65536, 8
SIZES = st.sampled_from([0, 1, 5, 124, 125, 126, 127, 128, 300, 65535, 65536])


def frame(opcode: int, payload: bytes, *, fin: bool = True, mask: bytes | None = None, first: int = 0) -> bytes:
    """One frame of a client."""
    mask = os.urandom(4) if mask is None else mask
    size = len(payload)
    head = bytes([first | (0x80 if fin else 0) | opcode])
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 65536:
        head += struct.pack("!BH", 0xFE, size)
    else:
        head += struct.pack("!BQ", 0xFF, size)
    return head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


def read(*parts: bytes, most: int = MOST) -> list[Event]:
    """All events of a stream that comes in these parts."""
    reader, events = FrameReader(most, FRAGMENTS), []
    for part in parts:
        reader.feed(part)
        while (event := reader.next()) is not None:
            events.append(event)
    return events


@given(
    st.lists(st.lists(st.tuples(SIZES, st.booleans()), min_size=1, max_size=4), min_size=1, max_size=3),
    st.lists(st.integers(1, 400), max_size=60),
    st.randoms(use_true_random=False),
)
def test_messages_come_out_however_the_stream_is_cut(
    messages: list[list[tuple[int, bool]]], cuts: list[int], rng: random.Random
) -> None:
    """The reader is whole exactly where no part of a frame or of a message is missing."""
    data, ends, expected = b"", {0}, []
    for sizes in messages:
        fragments = [(size // len(sizes), between) for size, between in sizes]
        for at, (size, between) in enumerate(fragments):
            last = at == len(fragments) - 1
            data += frame(CONTINUATION if at else BINARY, b"x" * size, fin=last)
            if last:
                ends.add(len(data))
                expected.append(Event(Kind.BINARY, b"x" * sum(size for size, _ in fragments)))
            if between:
                data += frame(PING, b"y")
                expected.append(Event(Kind.PING, b"y"))
                if last:
                    ends.add(len(data))
    # A message is there as soon as its last frame is, and a ping between its fragments before it.
    reader, done, got = FrameReader(MOST, FRAGMENTS), 0, []
    while done < len(data):
        size = cuts.pop() if cuts else rng.choice([1, 2, 7, 131, 132, 133, 5000, 70000])
        reader.feed(data[done : done + size])
        done = min(len(data), done + size)
        while (event := reader.next()) is not None:
            got.append(event)
        assert reader.whole == (done in ends), done
    assert sorted(got, key=repr) == sorted(expected, key=repr)


BROKEN = {
    "no mask": (bytes([0x81, 1]) + b"x", 1002),
    "reserved bit 1": (frame(TEXT, b"x", first=0x40), 1002),
    "reserved bit 3": (frame(PING, b"x", first=0x10), 1002),
    "unknown opcode": (frame(3, b""), 1002),
    "unknown control opcode": (frame(11, b""), 1002),
    "fragment of a ping": (frame(PING, b"", fin=False), 1002),
    "long ping": (frame(PING, b"x" * 126), 1002),
    "continuation of nothing": (frame(CONTINUATION, b"x"), 1002),
    "text within a text": (frame(TEXT, b"", fin=False) + frame(TEXT, b"x"), 1002),
    "binary within a text": (frame(TEXT, b"x", fin=False) + frame(BINARY, b"x", fin=False), 1002),
    "too large": (frame(TEXT, b"x" * (MOST + 1))[:14], 1009),
    "too large, without a mask yet": (struct.pack("!BBQ", 0x82, 0xFF, 2**63) + b"abcd", 1009),
    "too large together": (frame(TEXT, b"x" * MOST, fin=False) + frame(CONTINUATION, b"x"), 1009),
    "too many fragments": (frame(TEXT, b"", fin=False) + frame(CONTINUATION, b"", fin=False) * FRAGMENTS, 1008),
    "text that is not UTF-8": (frame(TEXT, b"\xc3"), 1007),
    "half of a surrogate pair": (frame(TEXT, b"\xed\xa0\x80"), 1007),
    "fragments that are not UTF-8": (frame(TEXT, b"\xc3", fin=False) + frame(CONTINUATION, b"x"), 1007),
    "close with one byte": (frame(CLOSE, b"x"), 1002),
    "close with a reserved code": (frame(CLOSE, struct.pack("!H", 1005)), 1002),
    "close with code 0": (frame(CLOSE, b"\0\0"), 1002),
    "close with a reason that is not UTF-8": (frame(CLOSE, b"\x03\xe8\xff"), 1007),
}


@pytest.mark.parametrize(("data", "code"), BROKEN.values(), ids=BROKEN)
def test_a_broken_rule_has_its_close_code(data: bytes, code: int) -> None:
    """Also behind a good message, and where each byte comes alone."""
    for parts in ([data], [bytes([byte]) for byte in data]):
        with pytest.raises(Violation) as violation:
            read(frame(TEXT, b"good"), *parts)
        assert violation.value.ending.code == code


def test_control_frames_come_between_fragments() -> None:
    """They change nothing of the message, whose text may be split within a character."""
    text = "é€😀".encode()
    stream = [frame(TEXT, text[:1], fin=False), frame(PONG, b""), frame(CONTINUATION, text[1:4], fin=False)]
    stream += [frame(PING, b"p"), frame(CONTINUATION, text[4:]), frame(CLOSE, b"\x0f\xa0bye")]
    assert read(b"".join(stream)) == [
        (Kind.PONG, b"", 0),
        (Kind.PING, b"p", 0),
        (Kind.TEXT, text, 0),
        (Kind.CLOSE, b"", 4000),
    ]


@given(st.binary(max_size=400), st.binary(min_size=4, max_size=4), st.integers(0, 9))
def test_a_mask_comes_off(payload: bytes, mask: bytes, before: int) -> None:
    """Wherever it stands in a buffer of either kind."""
    masked = b"x" * before + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload)) + b"yz"
    for unmask in (masks.unmask, unmasking.unmask):
        assert unmask(masked, before, len(payload)) == payload
        assert unmask(bytearray(masked), before, len(payload)) == payload


@given(st.text(max_size=140) | SIZES.map(lambda size: "x" * size), st.integers(0, 70000), st.binary(max_size=2))
def test_the_short_way_agrees_with_the_reader(text: str, most: int, behind: bytes) -> None:
    """One whole text frame and nothing else is read at once: exactly where the reader finds the same in it."""
    data = frame(TEXT, text.encode()) + behind
    size = len(text.encode())
    expected = text.encode() if not behind and size <= most and size < 65536 else None
    assert [masks.whole_text(data, most), unmasking.whole_text(data, most)] == [expected, expected]


@given(st.binary(max_size=9), st.text(max_size=140) | SIZES.map(lambda size: "x" * size), st.integers(0, 70000))
def test_a_text_is_found_wherever_its_frame_begins(before: bytes, text: str, most: int) -> None:
    """In a buffer of either kind, whatever is before it and behind it, and not where a byte of it is missing."""
    data = frame(TEXT, text.encode())
    size = len(text.encode())
    expected = text.encode() if size <= most and size < 65536 else None
    for text_at in (masks.text_at, unmasking.text_at):
        assert text_at(before + data + b"\x81", len(before), most) == expected
        assert text_at(bytearray(before + data), len(before), most) == expected
        assert text_at((before + data)[:-1], len(before), most) is None
        assert text_at(data, len(data), most) is None
        for nowhere in (-1, len(data) + 1):
            with pytest.raises(ValueError, match="behind the data"):
                text_at(data, nowhere, most)


@given(st.lists(st.sampled_from(["text", "long", "fragments", "binary", "ping"]), max_size=9), st.data())
def test_texts_come_in_their_place_among_the_others(kinds: list[str], cuts: st.DataObject) -> None:
    """A caller that asks for a text first hears the same as one that asks for the next event alone."""
    frames = {
        "text": frame(TEXT, b"{}"),
        "long": frame(TEXT, b"x" * 300),
        "fragments": frame(TEXT, b"a", fin=False) + frame(CONTINUATION, b"b"),
        "binary": frame(BINARY, b"\0"),
        "ping": frame(PING, b"p"),
    }
    data = b"".join([frames[kind] for kind in kinds])
    cut = cuts.draw(st.integers(0, len(data)))
    reader, found = FrameReader(MOST, 9), list[Event]()
    for part in (data[:cut], data[cut:]):
        reader.feed(part)
        while True:
            text = reader.text()
            event = reader.next() if text is None else Event(Kind.TEXT, text)
            if event is None:
                break
            found.append(event)
    assert found == read(data)
    assert reader.whole


@given(st.binary(max_size=300), st.sampled_from([b"", bytes([0x81, 0x85]), bytes([0x81, 0xFE, 0, 126])]))
def test_any_bytes_end_as_the_standard_says(noise: bytes, before: bytes) -> None:
    """A second decoder, which is written from the standard, finds the same close code."""
    data = before + noise
    verdict = judge(data)
    try:
        events = read(data)
    except Violation as violation:
        assert violation.ending.code in verdict.codes or verdict.waits
        return
    closed = any(event.kind is Kind.CLOSE for event in events)
    assert bool(verdict.codes) == closed
    text = unmasking.whole_text(data, MOST)
    assert text is None or events == [(Kind.TEXT, text, 0)]


@given(st.binary(max_size=12) | st.text(max_size=4).map(lambda text: text.encode(errors="surrogatepass")))
def test_both_short_ways_agree_about_utf8(payload: bytes) -> None:
    """The one in C, where it is installed, judges a text as Python does."""
    data = frame(TEXT, payload)
    assert unmasking.whole_text(data, MOST) == masks.whole_text(data, MOST)
