"""Packets and payloads of Engine.IO, without a socket."""

import json
from base64 import encodebytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestay.protocol.codes import ENDINGS, CloseCode
from forestay.protocol.engineio.errors import RequestError, error_body, error_status
from forestay.protocol.engineio.packets import Malformed, Times, open_packet
from forestay.protocol.engineio.payloads import read_payload, write_payload
from forestay.protocol.websocket.writing import BINARY, close_frame, frame, text_frame

TEXTS = st.text(st.characters(exclude_characters="\x1e", exclude_categories=["Cs"])).map(lambda text: f"4{text}")
PACKETS = st.lists(TEXTS | st.binary(max_size=70_000), min_size=1, max_size=20)


def frames(packets: list[str | bytes]) -> list[bytes]:
    """The frames that carry `packets`."""
    return [text_frame(each.encode()) if isinstance(each, str) else frame(BINARY, each) for each in packets]


@given(PACKETS)
def test_what_is_written_is_read(packets: list[str | bytes]) -> None:
    """A payload of any packets is read as these packets, in their order."""
    body, rest = write_payload([b"".join(frames(packets))])
    assert (list(read_payload(body)), rest) == (packets, [])


@given(PACKETS, st.integers(1, 5))
def test_a_payload_has_at_most_so_many_packets(packets: list[str | bytes], most: int) -> None:
    """The rest is kept as it was, and comes in the next ones."""
    chunks, read, bodies = frames(packets), list[str | bytes](), 0
    while chunks:
        body, chunks = write_payload(chunks, most)
        part = list(read_payload(body))
        assert 1 <= len(part) <= most
        read += part
        bodies += 1
    assert read == packets
    assert bodies == -(-len(packets) // most)


@pytest.mark.parametrize("size", [0, 1, 56, 57, 58, 200])
def test_binary_packets_may_have_line_breaks(size: int) -> None:
    """The Java client writes base64 as in mail: lines of 76 characters, each with a line break at its end."""
    data = bytes(range(size))
    for lines in (encodebytes(data), encodebytes(data).replace(b"\n", b"\r\n")):
        assert list(read_payload(b"4a\x1eb" + lines + b"\x1e4b")) == ["4a", data, "4b"]


def test_frames_that_are_no_messages_are_left_out() -> None:
    """A close frame has no packet."""
    assert write_payload([text_frame(b"4a") + close_frame(ENDINGS[CloseCode.NORMAL])]) == (b"4a", [])


@pytest.mark.parametrize("body", [b"4a\xff", b"b====", b"bAQID!", b"bAQI", "bé".encode()])
def test_a_malformed_payload_says_why_and_repeats_nothing(body: bytes) -> None:
    """The reason may be logged, so it has nothing of what the client sent."""
    with pytest.raises(Malformed, match=r"not UTF-8|not base64") as malformed:
        list(read_payload(body))
    assert body.decode(errors="replace") not in str(malformed.value)


def test_what_stands_before_a_malformed_packet_is_read() -> None:
    """Packets are read one at a time, as they are carried out."""
    packets = read_payload(b"4a\x1eb!\x1e4c")
    assert next(packets) == "4a"
    with pytest.raises(Malformed):
        next(packets)


def test_the_open_packet_has_milliseconds() -> None:
    """Clients read the times as whole milliseconds."""
    packet = open_packet("id", ["websocket"], Times(25.0, 0.3), 65536)
    assert packet[:1] == b"0"
    assert json.loads(packet[1:]) == {
        "sid": "id",
        "upgrades": ["websocket"],
        "pingInterval": 25000,
        "pingTimeout": 300,
        "maxPayload": 65536,
    }


@pytest.mark.parametrize("error", list(RequestError))
def test_each_error_has_a_body(error: RequestError) -> None:
    """Code and message are those of the protocol; 403 is for a page that may not connect."""
    body = json.loads(error_body(error, "what to do"))
    assert (body["code"], body["detail"]) == (int(error), "what to do")
    assert error_status(error) == (403 if error == 4 else 400)
