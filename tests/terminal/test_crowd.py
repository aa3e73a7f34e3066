"""The load generator counts each message once, for any split of the bytes into reads."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from forestay.terminal.crowd import MARK, Crowd, Gate, Speech, message

FRAMES = 5000


def frame(number: int) -> bytes:
    """A server's frame with the mark, and a number in place of the time."""
    body = b'{"payload":{"m":"' + MARK + b"%020d" % number + b'"}}'
    return bytes([0x81, len(body)]) + body


@contextmanager
def server(frames: list[bytes], piece: int, start: threading.Event) -> Iterator[int]:
    """Accepts one client and, after `start`, sends it `frames` in pieces of `piece` bytes. Yields the port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        one, _ = listener.accept()
        with one:
            while b"\r\n\r\n" not in one.recv(65536):
                pass
            one.sendall(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
            one.recv(65536)
            one.sendall(b'\x81\x11{"type":"joined"}')
            start.wait(10)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            data = b"".join(frames)
            try:
                for at in range(0, len(data), piece):
                    one.sendall(data[at : at + piece])
                one.recv(1)
            except ConnectionError:
                pass  # The client has counted the last mark and closed without reading the rest.

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        listener.close()
        thread.join(10)


def counted(frames: list[bytes], piece: int) -> int:
    """The number of messages that the generator counts."""
    start = threading.Event()
    with server(frames, piece, start) as port:
        crowd = Crowd(Gate("127.0.0.1", port, "token"))
        crowd.connect("bench.room")
        start.set()
        crowd.read_until(len(frames), 5.0)
        crowd.read(0.1)
        crowd.close()
        return crowd.count


@pytest.mark.parametrize("piece", [7, 61, 4096, 1 << 20])
def test_a_message_that_is_split_over_reads_counts_once(piece: int) -> None:
    """A message whose mark is split over two reads counts once."""
    frames = [frame(number) for number in range(500 if piece < 100 else FRAMES)]
    assert counted(frames, piece) == len(frames)


def test_lost_messages_are_missing_in_the_count() -> None:
    """The count falls short by exactly the number of lost messages."""
    frames = [frame(number) for number in range(FRAMES) if number % 1000 != 500]
    assert FRAMES - counted(frames, 1 << 16) == FRAMES // 1000


def test_duplicates_are_counted() -> None:
    """Duplicates raise the count above the number of sent messages, so they do not hide losses."""
    frames = [frame(number) for number in range(FRAMES)]
    frames += frames[::1000]
    assert counted(frames, 1 << 16) - FRAMES == FRAMES // 1000


def test_a_message_has_the_size_that_was_asked_for() -> None:
    """A message of size 200 has a payload of 200 bytes."""
    data = message("bench.room", 200)
    start = data.index(b'"payload":') + len(b'"payload":')
    assert len(data[start:-1]) == 200


def test_a_busy_machine_sends_late_and_not_less() -> None:
    """All messages of a speech are sent, also when the loop gets no time in the last moments."""

    class Busy(Crowd):
        def read(self, wait: float) -> None:
            time.sleep(0.3)

    speaker, listener = socket.socketpair()
    with speaker, listener:
        crowd = Busy(Gate("127.0.0.1", 0, "token"))
        assert Speech([(speaker, "bench.room")], 10).give(crowd, 0.5) == 5
        crowd.close()
        assert listener.recv(65536).count(MARK) == 5
