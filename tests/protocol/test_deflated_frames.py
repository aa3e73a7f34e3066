"""Deflated frames of clients: messages come out inflated, and a bit or a size that must not be ends the stream."""

import zlib

import pytest

from forestay.protocol.codes import CloseCode
from forestay.protocol.deflate.deflating import Traffic
from forestay.protocol.deflate.inflating import Inflater
from forestay.protocol.websocket.reading import Event, FrameReader, Kind, Violation
from tests.support.gateway import frame

TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10
RSV1, RSV2, RSV3 = 0x40, 0x20, 0x10
MOST = 4096
MESSAGE = b'{"type":"broadcast","room":"a","payload":"' + b"word " * 200 + b'"}'


def deflated(message: bytes) -> bytes:
    """`message` as a client sends it, by zlib itself."""
    stream = zlib.compressobj(wbits=-15)
    return (stream.compress(message) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4]


def read(data: bytes, *, compression: bool = True, size: int | None = None) -> list[Event]:
    """All events of a stream that comes in parts of `size`; None: in one part."""
    reader = FrameReader(MOST, 8, Inflater(MOST, Traffic()) if compression else None)
    events = []
    step = size or len(data)
    for at in range(0, len(data), step):
        reader.feed(data[at : at + step])
        while (event := reader.next()) is not None:
            events.append(event)
    assert reader.whole
    return events


def code_of(data: bytes, *, compression: bool = True) -> int:
    """The close code of the violation that a stream ends with."""
    with pytest.raises(Violation) as violation:
        read(data, compression=compression)
    return violation.value.ending.code


def fragments(message: bytes, *, parts: int, opcode: int = TEXT) -> bytes:
    """A deflated message in fragments, with a ping between them."""
    small = deflated(message)
    step = len(small) // parts + 1
    pieces = [small[at : at + step] for at in range(0, len(small), step)]
    frames = [
        frame((RSV1 | opcode) if at == 0 else CONTINUATION, piece, fin=at == len(pieces) - 1)
        for at, piece in enumerate(pieces)
    ]
    return frame(PING, b"").join(frames)


@pytest.mark.parametrize("size", [None, 1, 7])
def test_deflated_and_plain_messages_take_turns(size: int | None) -> None:
    """Each message says for itself whether it is deflated, whole or in fragments."""
    stream = b"".join(
        [
            frame(RSV1 | TEXT, deflated(MESSAGE)),
            frame(TEXT, MESSAGE),
            fragments(MESSAGE, parts=3),
            frame(TEXT, MESSAGE[:500], fin=False) + frame(CONTINUATION, MESSAGE[500:]),
            fragments(b"\x00\x00\x00\x01" * 100, parts=4, opcode=BINARY),
            frame(RSV1 | TEXT, deflated(MESSAGE)),
        ]
    )
    found = [event for event in read(stream, size=size) if event.kind is not Kind.PING]
    assert [event.data for event in found] == [MESSAGE] * 4 + [b"\x00\x00\x00\x01" * 100, MESSAGE]
    assert [event.kind for event in found] == [Kind.TEXT] * 4 + [Kind.BINARY, Kind.TEXT]


@pytest.mark.parametrize(
    "data",
    [
        frame(RSV1 | PING, b""),
        frame(RSV1 | PONG, b""),
        frame(RSV1 | CLOSE, b""),
        frame(TEXT, b"a", fin=False) + frame(RSV1 | CONTINUATION, b"b"),
        frame(RSV1 | TEXT, deflated(b"a"), fin=False) + frame(RSV1 | CONTINUATION, b""),
        frame(RSV2 | TEXT, b"a"),
        frame(RSV1 | RSV3 | TEXT, deflated(b"a")),
    ],
    ids=["ping", "pong", "close", "continuation", "deflated continuation", "RSV2", "RSV1 and RSV3"],
)
def test_the_bit_may_only_be_in_the_first_frame_of_a_message(data: bytes) -> None:
    """1002 as for any other frame that breaks the protocol."""
    assert code_of(data) == CloseCode.PROTOCOL_ERROR


def test_a_deflated_message_without_an_agreement_breaks_the_protocol() -> None:
    """1002: the bit has no meaning there."""
    assert code_of(frame(RSV1 | TEXT, deflated(MESSAGE)), compression=False) == CloseCode.PROTOCOL_ERROR


@pytest.mark.parametrize("parts", [1, 3])
def test_the_limit_holds_for_what_comes_out(parts: int) -> None:
    """A small message that inflates to more than the limit ends with 1009; one of exactly the limit is taken."""
    assert len(read(fragments(b"a" * MOST, parts=parts))[-1].data) == MOST
    assert code_of(fragments(b"a" * (MOST + 1), parts=parts)) == CloseCode.MESSAGE_TOO_BIG
    assert code_of(frame(RSV1 | TEXT, bytes(MOST * 2))[:14]) == CloseCode.MESSAGE_TOO_BIG


def test_a_deflated_text_must_be_utf_8_when_it_is_inflated() -> None:
    """1007; what travels need not be UTF-8."""
    assert read(frame(RSV1 | TEXT, deflated("grüße ".encode() * 9)))[0].data == "grüße ".encode() * 9
    assert code_of(frame(RSV1 | TEXT, deflated(b"\xff\xfe"))) == CloseCode.INVALID_TEXT
    assert code_of(frame(RSV1 | TEXT, b"\xff\xfe")) == CloseCode.INVALID_TEXT
