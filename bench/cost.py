"""What each kind of request costs the server, in broadcasts of 100 bytes. Says which of them should count as more."""

import json
import secrets
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median

import jwt
from websockets.sync.client import ClientConnection, connect

from bench.crowd import SECRET
from bench.rounds import options
from bench.servers import Running, running

_ROOMS = """
[[rooms]]
pattern = "log.*"
history = {size = 1000, ttl = 600}
[[rooms]]
pattern = "seen.*"
presence = true
[[rooms]]
pattern = "told.*"
join_leave = true
"""
# Patterns of a token, as many as it may have. Nearly all of them match no room.
_PATTERNS = {f"one.two.three.{number}.*": "rw" for number in range(98)} | {"**": "rwph"}
_LARGE = 65_000

Said = Mapping[str, object] | str
Request = Callable[[int], Said]
"""The request with this number."""


def _token(user: str, rooms: dict[str, str] | None = None) -> str:
    claims = {"sub": user, "exp": int(time.time()) + 3600} | ({"rooms": rooms} if rooms else {})
    return jwt.encode(claims, SECRET, algorithm="HS256")


class Asker:
    """One client, which sends requests as fast as the server takes them."""

    def __init__(self, server: Running, user: str = "asker", rooms: dict[str, str] | None = None) -> None:
        self._server = server
        headers = {"Authorization": f"Bearer {_token(user, rooms)}"}
        self.socket: ClientConnection = connect(
            f"ws://127.0.0.1:{server.port}/ws", additional_headers=headers, compression=None, max_size=None
        )
        self.socket.recv()

    def join(self, *rooms: str) -> None:
        for room in rooms:
            self.ask({"type": "join", "room": room, "id": "j"})

    def ask(self, request: Said) -> None:
        """Send the request, and wait until it is carried out."""
        self.socket.send(request if isinstance(request, str) else json.dumps(request))
        self.wait()

    def wait(self) -> None:
        mark = secrets.token_hex(8)
        self.socket.send(json.dumps({"type": "ping", "id": mark}))
        while mark not in str(self.socket.recv()):
            pass

    def cost(self, request: Request, count: int) -> float:
        """CPU seconds of the server for each of `count` requests."""
        texts = [one if isinstance(one := request(number), str) else json.dumps(one) for number in range(count)]
        before = self._server.cpu()
        for start in range(0, count, 20):
            for text in texts[start : start + 20]:
                self.socket.send(text)
            self.wait()
        return (self._server.cpu() - before) / count


def _brackets(kind: str) -> str:
    return json.dumps({"type": kind, "room": "plain", "payload": 0})[:-2] + "[" + "[]," * (_LARGE // 3) + "1]}"


def _requests() -> dict[str, tuple[Request, int]]:
    """The kinds of requests, and how many of each are sent."""
    plain: dict[str, object] = {"type": "broadcast", "room": "plain", "payload": "x" * 100}
    turn = ("join", "leave")
    renewed = [_token("asker", _PATTERNS | {f"x{number}": "r"}) for number in range(2)]
    return {
        "broadcast, 100 bytes": (lambda _: plain, 4000),
        "ping": (lambda _: {"type": "ping"}, 4000),
        "bind": (lambda _: {"type": "bind", "room": "plain", "payload": {"type": 1}}, 4000),
        "join or leave": (lambda number: {"type": turn[number % 2], "room": "empty"}, 2000),
        "join or leave, presence": (lambda number: {"type": turn[number % 2], "room": "seen.b"}, 2000),
        "join or leave, told to 300": (lambda number: {"type": turn[number % 2], "room": "told.a"}, 500),
        "history, newest 100": (lambda _: {"type": "history", "room": "log.a"}, 300),
        "history, newest 1000": (lambda _: {"type": "history", "room": "log.a", "limit": 1000}, 100),
        "presence of 300": (lambda _: {"type": "presence", "room": "seen.a", "limit": 1000}, 200),
        "auth, 100 patterns": (lambda number: {"type": "auth", "payload": {"token": renewed[number % 2]}}, 200),
        "auth, a bad token": (lambda _: {"type": "auth", "payload": {"token": renewed[0][:-2] + "xx"}}, 500),
        "broadcast, 64 KiB": (lambda _: plain | {"payload": "x" * _LARGE}, 300),
        "broadcast, 64 KiB of brackets": (lambda _: _brackets("broadcast"), 300),
        "no JSON, 64 KiB of brackets": (lambda _: _brackets("broadcast")[:-1], 300),
        "unknown type, 64 KiB of brackets": (lambda _: _brackets("x"), 300),
        "no JSON, 64 KiB of quotes": (lambda _: '{"a":[' + '"",' * (_LARGE // 3), 300),
    }


def _round(server: Running) -> dict[str, float]:
    audience = [Asker(server, f"member-{number}") for number in range(300)]
    for one in audience:
        one.join("told.a", "seen.a")
    asker = Asker(server, rooms=_PATTERNS)
    asker.join(*(f"kept.{number}" for number in range(99)))
    for _ in range(1000):
        asker.socket.send(json.dumps({"type": "broadcast", "room": "log.a", "payload": "x" * 100}))
    asker.wait()
    return {name: asker.cost(request, count) for name, (request, count) in _requests().items()}


def main() -> None:
    given = options(__doc__, "forestay", seconds=0).parse_args()
    rounds: list[dict[str, float]] = []
    for _ in range(1 if given.quick else given.rounds):
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as rooms:
            rooms.write(_ROOMS)
            rooms.flush()
            with running(
                "forestay", FORESTAY_ROOMS_FILE=str(Path(rooms.name)), FORESTAY_ROOMS_PER_CONNECTION="200"
            ) as server:
                rounds.append(_round(server))
    unit = median(one["broadcast, 100 bytes"] for one in rounds)
    print(f"{'request':<36} {'µs of CPU':>10} {'broadcasts':>11}")
    for name in rounds[0]:
        cost = median(one[name] for one in rounds)
        print(f"{name:<36} {cost * 1e6:>10.0f} {cost / unit:>11.1f}")


if __name__ == "__main__":
    main()
