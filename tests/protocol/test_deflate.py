"""Compression of single messages: what is agreed on, what becomes smaller, and what is refused."""

import random
import tracemalloc
import zlib

import pytest

from forestay.protocol.codes import CloseCode
from forestay.protocol.deflate.agreement import WINDOWS, agree
from forestay.protocol.deflate.deflating import LARGEST, Deflater, Traffic
from forestay.protocol.deflate.inflating import Inflater, Uninflatable, largest_deflated

MOST = 65536
TAIL = b"\x00\x00\xff\xff"
BOTH = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

TEXT = b'{"symbol":"A","bid":1.25,"ask":1.26},' * 60
NOISE = random.Random(1).randbytes(4000)


def deflated(message: bytes, *, mode: int = zlib.Z_SYNC_FLUSH, window: int = 15) -> bytes:
    """`message` as a client sends it, by zlib itself."""
    stream = zlib.compressobj(wbits=-window)
    return (stream.compress(message) + stream.flush(mode)).removesuffix(TAIL)


def inflater() -> Inflater:
    return Inflater(MOST, Traffic())


def code_of(message: bytes) -> int:
    """The close code with which `message` is refused."""
    with pytest.raises(Uninflatable) as refused:
        inflater().inflate(message)
    return refused.value.ending.code


@pytest.mark.parametrize(
    ("offer", "answer"),
    [
        ("permessage-deflate", BOTH),
        ("permessage-deflate; client_max_window_bits", BOTH),
        ("permessage-deflate; client_max_window_bits=9;server_no_context_takeover", BOTH),
        ('x-unknown; a="b, c; \\" d", permessage-deflate', BOTH),
        (" , permessage-deflate ;\tclient_no_context_takeover , ", BOTH),
        ("permessage-deflate; server_max_window_bits=15", f"{BOTH}; server_max_window_bits=15"),
        ('permessage-deflate; server_max_window_bits="14"', f"{BOTH}; server_max_window_bits=12"),
        ("permessage-deflate; server_max_window_bits=11", f"{BOTH}; server_max_window_bits=9"),
        ("permessage-deflate; server_max_window_bits=8, permessage-deflate", BOTH),
        ("permessage-deflate; never_heard_of, permessage-deflate", BOTH),
    ],
)
def test_an_offer_is_answered_with_what_rfc_7692_allows(offer: str, answer: str) -> None:
    """Neither side keeps a context, and no window is larger than the client wants."""
    agreement = agree(offer)
    assert agreement is not None
    assert agreement.answer == answer
    assert agreement.window in WINDOWS


@pytest.mark.parametrize(
    "offer",
    [
        "",
        " , ",
        "x-webkit-deflate-frame",
        "Permessage-Deflate",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=8",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; server_max_window_bits=09",
        "permessage-deflate; client_max_window_bits=7",
        'permessage-deflate; client_max_window_bits=""',
        "permessage-deflate; client_no_context_takeover=1",
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        "permessage-deflate; mux",
    ],
)
def test_an_offer_that_cannot_be_met_is_declined(offer: str) -> None:
    """An unknown, repeated or wrong parameter means no compression, and no refusal."""
    assert agree(offer) is None


@pytest.mark.parametrize(
    "header",
    [
        "permessage-deflate;",
        "permessage-deflate; a=",
        "a b",
        "permessage-deflate=1",
        'a; b="',
        "a; ,b",
        ";",
        "a;b==c",
        "ä",
    ],
)
def test_a_header_in_another_form_is_an_error(header: str) -> None:
    """RFC 6455 has a handshake with such a header fail."""
    with pytest.raises(ValueError, match="at"):
        agree(header)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("message", [TEXT, TEXT * 20, b" " * 70_000, TEXT[:300]], ids=len)
def test_a_message_is_deflated_for_the_window_of_its_receivers(message: bytes, window: int) -> None:
    """A stock inflater with that window reads it, and it is smaller."""
    small = Deflater(window, 1, Traffic()).deflate(message)
    assert small is not None
    assert len(small) < len(message) / 3
    assert zlib.decompressobj(-window).decompress(small + TAIL) == message


def test_a_message_is_deflated_alone() -> None:
    """The same message has the same bytes each time: it depends on nothing that was sent before."""
    deflater = Deflater(15, 1, Traffic())
    first = deflater.deflate(TEXT)
    deflater.deflate(NOISE + TEXT)
    assert deflater.deflate(TEXT) == first


@pytest.mark.parametrize(
    "message", [NOISE, b"a", TEXT[:99], bytes(LARGEST + 1)], ids=["noise", "byte", "small", "huge"]
)
def test_a_message_stays_as_it_is_where_that_is_better(message: bytes) -> None:
    """One that does not get smaller, one below the size, and one that would hold the loop are not deflated."""
    traffic = Traffic()
    assert Deflater(15, 100 if message == TEXT[:99] else 1, traffic).deflate(message) is None
    assert traffic.plain == 0


@pytest.mark.parametrize("mode", [zlib.Z_SYNC_FLUSH, zlib.Z_FULL_FLUSH, zlib.Z_FINISH])
@pytest.mark.parametrize(
    "message", [b"", b"a", TEXT, NOISE, bytes(MOST - 9)], ids=["empty", "byte", "text", "noise", "zeros"]
)
def test_what_clients_deflate_is_read(message: bytes, mode: int) -> None:
    """Each way to end a message that RFC 7692 allows: an empty block, or a last one with a byte behind it."""
    sent = deflated(message, mode=mode)
    assert inflater().inflate(sent) == message
    if mode == zlib.Z_FINISH:
        assert inflater().inflate(sent + b"\x00") == message
        assert inflater().inflate(sent + deflated(message[:9])) == message + message[:9]


@pytest.mark.parametrize(
    "sent",
    [
        deflated(TEXT)[:-1],
        deflated(TEXT)[:20],
        b"\xff" * 20,
        b"\x07",
        TEXT,
        deflated(TEXT, mode=zlib.Z_FINISH) + b"\x07",
        deflated(b"a", mode=zlib.Z_FINISH) * 17,
        zlib.compress(TEXT),
    ],
    ids=["one byte short", "cut", "ones", "reserved block", "plain", "noise behind", "many streams", "zlib header"],
)
def test_what_cannot_be_inflated_ends_with_1007(sent: bytes) -> None:
    """A part of a message is never taken for a whole one."""
    assert code_of(sent) == CloseCode.INVALID_TEXT


def test_a_message_that_grows_too_large_ends_with_1009() -> None:
    """The limit holds for what comes out, whatever went in; a message of exactly the limit is taken."""
    assert inflater().inflate(deflated(bytes(MOST))) == bytes(MOST)
    assert code_of(deflated(bytes(MOST + 1))) == CloseCode.MESSAGE_TOO_BIG
    assert code_of(deflated(b"a" * 5_000_000)) == CloseCode.MESSAGE_TOO_BIG
    twice = deflated(bytes(MOST), mode=zlib.Z_FINISH) + deflated(b"ab")
    assert code_of(twice) == CloseCode.MESSAGE_TOO_BIG


def test_a_bomb_takes_little_more_memory_than_the_largest_message() -> None:
    """Inflating stops when it has made one byte too much, and not when it has made all."""
    bomb = deflated(b"a" * 5_000_000)
    tracemalloc.start()
    try:
        code_of(bomb)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 5 * MOST


def test_a_message_that_is_padded_ends_with_1008() -> None:
    """Empty blocks cost us to read, and would not count against the rate."""
    padding = (b"\x00" + TAIL) * 100
    assert code_of(padding + deflated(b"a")) == CloseCode.POLICY_VIOLATION


@pytest.mark.parametrize("size", [0, 1, 100, 5000, MOST])
def test_noise_of_the_largest_size_is_taken(size: int) -> None:
    """What a compressor adds to a message that it cannot make smaller is allowed for."""
    noise = random.Random(size).randbytes(size)
    sent = deflated(noise)
    assert len(sent) <= largest_deflated(size)
    assert inflater().inflate(sent) == noise


def test_the_bytes_before_and_after_are_counted() -> None:
    """Each message counts once in each direction."""
    sent, received = Traffic(), Traffic()
    small = Deflater(15, 1, sent).deflate(TEXT)
    assert small is not None
    Inflater(MOST, received).inflate(small)
    assert (sent.plain, sent.compressed) == (received.plain, received.compressed) == (len(TEXT), len(small))
