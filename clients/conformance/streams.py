"""A connection over event streams, in the words of one over a WebSocket: requests are heard, and events are said.

A stream whose rooms are others than those of the one before goes on with the same connection: what it has more is a
`join`, and what it has less a `leave`. So a scenario is played as it is written.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from websockets.http11 import Response

from clients.conformance.lanes import Lanes
from clients.conformance.requests import Request, document
from clients.conformance.timeline import Timeline

_ANCHOR: Final = "@me"
"""The room of a stream that is in none."""

_STATUSES: Final = {
    "forbidden": 403,
    "refused_by_application": 403,
    "rate_limited": 429,
    "unavailable": 503,
    "outcome_unknown": 504,
}
_MALFORMED: Final = 400


class Streamed:
    """One connection, and the streams that carry it one after the other."""

    def __init__(self, number: int, request: Request, timeline: Timeline) -> None:
        self.number = number
        self.kind = "stream"
        self.token = request.token
        self.verdict: asyncio.Future[Response | None] = asyncio.get_running_loop().create_future()
        """None lets it in."""
        self.greeting: dict[str, Any] | None = None
        self.opened = asyncio.Event()
        self.closed: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()
        """1000 when the client has hung up: it has no other word."""
        self.heard = Lanes()
        self.leaving = False
        """Whether the client's next stream is another connection."""
        self._timeline = timeline
        self._requests = [request]
        self._rooms: list[str] = []
        self._asked: dict[str, Request] = {}
        self._beating: asyncio.Task[None] | None = None
        self._deciding = asyncio.ensure_future(self._decide(request))

    @property
    def _name(self) -> str:
        return f"gateway {self.number}"

    @property
    def here(self) -> bool:
        """Whether the client's next stream goes on with this connection."""
        return self.opened.is_set() and not self.leaving and not self.closed.done()

    async def _decide(self, request: Request) -> None:
        request.gone = lambda: self._gone(request)
        refusal = await self.verdict
        if refusal is not None:
            request.answer(refusal)
            return
        request.begin()
        if self.greeting is not None:
            await self.say(self.greeting)
        self._take(request)
        self.opened.set()

    def go_on(self, request: Request) -> None:
        """The client has opened the next stream of this connection."""
        self._timeline.note(self._name, "goes on with another stream")
        request.gone = lambda: self._gone(request)
        self._requests.append(request)
        if request.token != self.token:
            self.token = request.token
            self._hear({"type": "auth", "payload": {"token": self.token}})
        request.begin()
        self._write(self.greeting or {})
        self._take(request)

    def _take(self, request: Request) -> None:
        """Hear what a stream's rooms say, and answer for those that it had before."""
        rooms = request.query.get("room", [])
        first, previous = len(self._requests) == 1, self._requests[len(self._requests) - 2].query.get("room", [])
        # A client in no room asks for the anchor. It joins that room where it asks for it once more.
        if rooms == [_ANCHOR] and _ANCHOR not in self._rooms and (first or previous != [_ANCHOR]):
            rooms = []
            self._write({"type": "joined", "room": _ANCHOR, "payload": {}})
        places = _positions(rooms, request.headers.get("last-event-id", ""))
        before, self._rooms = self._rooms, rooms
        same = set(rooms) == set(before) and request.token == self._requests[len(self._requests) - 2].token
        again = [room for room in rooms if same and room not in places]
        for room in [room for room in before if room not in rooms] + again:
            self._hear({"type": "leave", "room": room, "id": f"leave {room}"})
        fresh = [room for room in rooms if room not in before or room in again]
        for room in rooms:
            if room not in fresh:
                payload = {**places[room], "recovered": True} if room in places else {}
                self._write({"type": "joined", "room": room, "payload": payload})
        asked = [{"room": room} | ({"since": places[room]} if room in places else {}) for room in fresh]
        id = f"join {len(self._requests)}"
        if len(asked) > 1 and "rooms_per_join" in ((self.greeting or {}).get("payload") or {}).get("limits", {}):
            self._hear({"type": "join", "rooms": asked, "id": id})
        else:
            for each in asked:
                self._hear({"type": "join", "id": f"{id} {each['room']}", **each})

    def ask(self, request: Request) -> None:
        """The client asks something about a room, or calls."""
        id = f"ask {len(self._asked)}"
        self._asked[id] = request
        if request.path[-1] == "calls":
            said = {name: value for name, value in request.said.items() if name != "connection"}
            self._hear({"type": "call", "id": id} | said)
            return
        _, room, what = request.path[-3:]
        if what == "messages":
            self._hear({"type": "broadcast", "room": room, "id": id} | request.said)
            return
        query = {name: values[0] for name, values in request.query.items()}
        place = {
            name: {"epoch": query["epoch"], "offset": int(query[name])} for name in ("since", "before") if name in query
        }
        limit = {"limit": int(query["limit"])} if "limit" in query else {}
        after = {"after": query["after"]} if "after" in query else {}
        self._hear({"type": what, "room": room, "id": id} | place | limit | after)

    async def say(self, sentence: Mapping[str, Any] | str | bytes) -> None:
        """An event, or the answer to a request."""
        self._timeline.note(self._name, f"says {sentence!r}")
        if not isinstance(sentence, Mapping):
            self._data(sentence if isinstance(sentence, str) else "")
            return
        said = {name: value for name, value in sentence.items() if name != "id"}
        id, kind, room = sentence.get("id"), sentence["type"], sentence.get("room")
        if (request := self._asked.get(id or "")) is not None:
            request.answer(_answer(sentence))
            return
        if kind == "welcome" and self.greeting is None:
            self.greeting = dict(sentence)
        if kind in ("error", "left") and room in self._rooms:
            self._rooms.remove(room)
        if kind == "joined" and id is None and room is not None and room not in self._rooms:
            self._rooms.append(room)
        if kind == "reconnect":
            self.leaving = True
        if id is None or kind in ("joined", "error"):
            self._write(said)

    def close(self, code: int, reason: str) -> None:
        """Say why, and end the stream."""
        self._timeline.note(self._name, f"closes {code} {reason}")
        self.leaving = True
        self._write({"type": "close", "payload": {"code": code, "reason": reason}})
        self._requests[-1].transport.close()

    def stall(self) -> None:
        """Say nothing any more, also no sign of life; the connection stays."""
        self._timeline.note(self._name, "stalls")
        self.leaving = True
        self._quiet()

    def cut(self) -> None:
        """Reset everything that is open."""
        self._timeline.note(self._name, "cut")
        self.leaving = True
        for request in [*self._requests, *self._asked.values()]:
            request.cut()

    def hang_up(self) -> None:
        """End it without a word."""
        self._deciding.cancel()
        self._quiet()
        for request in [*self._requests, *self._asked.values()]:
            request.transport.abort()

    def _hear(self, sentence: dict[str, Any]) -> None:
        self._timeline.note(self._name, f"hears {json.dumps(sentence)}")
        self.heard.put((sentence["type"], sentence.get("room")), sentence)

    def _gone(self, request: Request) -> None:
        if request is self._requests[-1] and not self.closed.done():
            self._timeline.note(self._name, "closed")
            self._quiet()
            self.closed.set_result((1000, ""))

    def _quiet(self) -> None:
        if self._beating is not None:
            self._beating.cancel()

    def _write(self, sentence: Mapping[str, Any]) -> None:
        if sentence.get("type") == "welcome":
            self._quiet()
            self._beating = asyncio.ensure_future(self._beat(sentence["payload"]["ping_interval_ms"] / 1000))
        self._data(json.dumps({"timestamp": "2026-01-01T00:00:00.000Z"} | dict(sentence), ensure_ascii=False))

    def _data(self, text: str) -> None:
        transport = self._requests[-1].transport
        if not transport.is_closing():
            transport.write(f"data: {text}\n\n".encode())

    async def _beat(self, interval: float) -> None:
        while True:
            await asyncio.sleep(interval)
            self._requests[-1].transport.write(b":\n")


def _positions(rooms: Sequence[str], id: str) -> dict[str, dict[str, Any]]:
    """The positions that a client gives, by room."""
    entries = id.partition(":")[2].split(",") if id else []
    pairs = {room: entry.partition(".") for room, entry in zip(rooms, entries, strict=bool(id)) if entry}
    return {room: {"epoch": epoch, "offset": int(offset)} for room, (offset, _, epoch) in pairs.items()}


def _answer(sentence: Mapping[str, Any]) -> Response:
    """What a request is answered with, where a message would be answered with `sentence`."""
    if sentence["type"] == "result":
        return document(200, {"payload": sentence["payload"]})
    payload = sentence.get("payload") or {}
    if sentence["type"] != "error":
        return document(200, payload)
    problem = {name: payload[name] for name in ("code", "reason", "retry_after_ms") if name in payload}
    problem["detail"] = payload["message"]
    return document(_STATUSES.get(payload["code"], _MALFORMED), problem)
