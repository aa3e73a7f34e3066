"""What idle clients see when the process gets SIGTERM: the close code, and when the first and the last one hear."""

import select
import socket
import time
from collections import Counter

from bench.rounds import Figures
from bench.servers import Running
from forestay.terminal.crowd import Crowd
from forestay.terminal.replies import CLOSE, complete

NO_FRAME = 1006
"""What RFC 6455 calls an end without a close frame."""
_NO_CODE = 1005
_STILL = float("nan")


def sigterm(server: Running, clients: int, patience: float) -> Figures:
    """Connect them, ask the server to end, and watch for at most `patience` seconds."""
    crowd = Crowd(server.dialect.gate(server.port))
    made = server.dialect.connect(crowd, server.port, "bench.idle", clients)
    epoll = select.epoll()
    waiting = {one.fileno(): one for one in made}
    heard = dict.fromkeys(waiting, b"")
    codes: Counter[int] = Counter()
    for fd in waiting:
        epoll.register(fd, select.EPOLLIN)
    first = last = gone = _STILL
    started = time.monotonic()
    server.terminate()
    while (waiting or gone is _STILL) and time.monotonic() - started < patience:
        for fd, _ in epoll.poll(0.02):
            code = _code(heard, fd, _read(waiting[fd]))
            if code is None:
                continue
            last = time.monotonic() - started
            first = last if first is _STILL else first
            codes[code] += 1
            epoll.unregister(fd)
            # A client that hears a close frame closes too.
            waiting.pop(fd).close()
        if gone is _STILL and server.gone():
            gone = time.monotonic() - started
    epoll.close()
    crowd.close()
    code = codes.most_common(1)[0][0] if codes else 0
    return {"close code": code, "first s": first, "last s": last, "gone s": gone, "still open": len(waiting)}


def _read(one: socket.socket) -> bytes | None:
    """What has come. None at the end."""
    try:
        return one.recv(65536) or None
    except ConnectionError:
        return None


def _code(heard: dict[int, bytes], fd: int, data: bytes | None) -> int | None:
    """The close code of a client that has one now. None while it is open."""
    if data is None:
        return NO_FRAME
    rest = heard[fd] + data
    while found := complete(rest):
        opcode, body, rest = found
        if opcode == CLOSE:
            return int.from_bytes(body[:2]) if body else _NO_CODE
    heard[fd] = rest
    return None
