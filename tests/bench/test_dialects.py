"""The load generator joins, and counts messages, in the protocol of each server under test."""

import socket
import threading

import pytest

from bench.connect import Storm
from bench.dialects import CENTRIFUGO, NATS, PLAIN, SOCKETIO, Dialect, payload
from bench.fanout import FanOut
from bench.peers.benches import benches
from bench.peers.goals import GOALS, judged
from bench.peers.sigterm import NO_FRAME, sigterm
from forestay.terminal.crowd import MARK, send

MESSAGES, LOST_EACH = 4000, 1000


def frame(body: bytes, opcode: int = 1) -> bytes:
    """A server's frame."""
    size = bytes([len(body)]) if len(body) < 126 else b"\x7e" + len(body).to_bytes(2)
    return bytes([0x80 | opcode]) + size + body


def many_pushes(number: int) -> bytes:
    """What Centrifugo sends: several replies in one frame, a line for each."""
    one = b'{"push":{"channel":"bench.0","pub":{"data":%s}}}' % payload().encode()
    return frame(b"\n".join([one] * number))


def many_events(number: int) -> bytes:
    return frame(b'42["message",{"room":"bench.0","payload":%s}]' % payload().encode()) * number


def many_broadcasts(number: int) -> bytes:
    return frame(b'{"type":"broadcast","room":"bench.0","payload":%s}' % payload().encode()) * number


def many_msgs(number: int) -> bytes:
    """What NATS sends: several operations in one binary frame."""
    data = payload().encode()
    return frame((b"MSG bench.0 1 %d\r\n%s\r\n" % (len(data), data)) * number, 2)


class Server:
    """Answers the steps of a dialect as the real server does, and sends what it is told to; it may lose messages."""

    pid = 0

    def __init__(self, dialect: Dialect, answers: list[bytes]) -> None:
        self.dialect = dialect
        self._answers = answers
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                one, _ = self._listener.accept()
            except OSError:
                return
            self.sockets.append(one)
            threading.Thread(target=self._serve, args=(one,), daemon=True).start()

    def _serve(self, one: socket.socket) -> None:
        while b"\r\n\r\n" not in one.recv(65536):
            pass
        one.sendall(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        steps = self.dialect.steps("token", "bench.0")
        for step, answer in zip(steps, self._answers, strict=True):
            if step.sent:
                one.recv(65536)
            one.sendall(answer)

    def cpu(self) -> float:
        return 0.0

    def terminate(self) -> None:
        """Half of the clients hear a close frame, the others only the end."""
        for at, one in enumerate(self.sockets):
            one.sendall(frame((1001).to_bytes(2), 8) if at % 2 else b"")
            one.close()

    def gone(self) -> bool:
        return True

    def close(self) -> None:
        self._listener.close()
        for one in self.sockets:
            one.close()


KINDS = {
    "plain": (PLAIN, [frame(b'{"type":"joined"}')], many_broadcasts),
    "socketio": (
        SOCKETIO,
        [frame(b'0{"sid":"a","maxPayload":1}'), frame(b'40{"sid":"b"}'), frame(b'431[{"ok":true}]')],
        many_events,
    ),
    "centrifugo": (
        CENTRIFUGO,
        [frame(b'{"id":1,"connect":{"client":"a"}}'), frame(b'{"id":2,"subscribe":{}}')],
        many_pushes,
    ),
    "nats": (NATS, [frame(b"INFO {}\r\n", 2) + frame(b"PONG\r\n", 2), frame(b"PONG\r\n", 2)], many_msgs),
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_lost_message_is_missing_whatever_the_framing(kind: str) -> None:
    """Several messages in a frame count each; one of a thousand that is lost is missing."""
    dialect, answers, many = KINDS[kind]
    server = Server(dialect, answers)
    load = FanOut(server, subscribers=1, rooms=1, rate=1)  # type: ignore[arg-type]
    kept = MESSAGES - MESSAGES // LOST_EACH
    for at in range(0, kept, 12):
        send(server.sockets[0], many(min(12, kept - at)))
        load.crowd.read(0)
    load.crowd.read_until(MESSAGES, 0.3)
    assert MESSAGES - load.crowd.count == MESSAGES // LOST_EACH
    # A time that is split over two reads is not sampled.
    assert kept * 0.9 < len(load.crowd.latencies) <= kept
    load.crowd.close()
    server.close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_storm_takes_the_steps_of_each_protocol(kind: str) -> None:
    """Every client gets as far as its join, though it is one of many in one loop."""
    dialect, answers, _ = KINDS[kind]
    server = Server(dialect, answers)
    storm = Storm(server, 20)  # type: ignore[arg-type]
    storm.run(5.0)
    assert (storm.done, storm.failed) == (20, 0)
    storm.close()
    server.close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_published_message_has_one_mark_and_the_size(kind: str) -> None:
    """The payload is the same for all servers: 200 bytes with one mark."""
    dialect, _, _ = KINDS[kind]
    sent = dialect.encode("bench.0")
    assert sent.count(MARK) == 1
    assert len(payload()) == 200
    assert payload()[-100:].encode() in sent
    assert bytes([sent[0] & 0x0F]) == (b"\x02" if kind == "nats" else b"\x01")


def test_what_clients_see_of_the_end_is_told() -> None:
    """A close frame is told by its code; an end without one is told as 1006."""
    dialect, answers, _ = KINDS["plain"]
    server = Server(dialect, answers)
    found = sigterm(server, 3, 5.0)  # type: ignore[arg-type]
    assert found["close code"] == NO_FRAME
    assert found["still open"] == 0
    server.close()


def test_a_verdict_needs_the_whole_interval() -> None:
    """A median beyond the bound is reached; it is certain only where the interval is beyond it too."""
    theirs = [{"us CPU/message": 100.0}] * 7
    ours = [{"us CPU/message": value} for value in (90.0, 95, 96, 97, 98, 99, 100)]
    noisy = [{"us CPU/message": value} for value in (90.0, 95, 96, 97, 98, 130, 140)]
    slow = [{"us CPU/message": 120.0}] * 7
    verdicts = [judged("inbound", {"forestay": one, "ws": theirs}, "forestay")[0][-1] for one in (ours, noisy, slow)]
    assert verdicts == ["reached", "reached, not certain", "not reached"]


def test_each_goal_is_of_a_bench_that_exists() -> None:
    """A goal of a bench that was renamed would never be judged."""
    assert {goal.bench for goal in GOALS} <= set(benches(1, "", quick=False))
