"""Requests over HTTP, for what a WebSocket would carry as messages. Those of one room keep their order."""

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from forestay_client import paths
from forestay_client.endings import problem_of, retry_after
from forestay_client.http import Answer, ask
from forestay_client.options import Options
from forestay_client.sentences import Sentence

_MOST: Final = 4
"""Requests at a time. What is said meanwhile waits in the writer, where it does not time out."""

_LOOK: Final = 0.02
_LOOKS: Final = 50
"""Seconds: how often, and how many times, it is looked whether there is one stream again."""

_ANSWERS: Final = {"broadcast": "ack", "call": "result"}
"""What is a POST, and what answers it on a WebSocket."""

_TRACE: Final = ("traceparent", "tracestate")


class Stream(Protocol):
    """What the requests need to know of the stream beside them."""

    @property
    def connection(self) -> str | None:
        """The id of the connection that may be left out by a publish."""

    @property
    def alone(self) -> bool:
        """Whether there is only one stream. The gateway can leave out only one."""


class Posts:
    """The requests of one client on one stream."""

    def __init__(
        self,
        url: str,
        options: Options,
        token: Callable[[], str],
        stream: Stream,
        answer: Callable[[Sentence], None],
    ) -> None:
        """`answer`: called with answers."""
        self._url = url
        self._options = options
        self._token = token
        self._stream = stream
        self._answer = answer
        self._places = asyncio.Semaphore(_MOST)
        self._last: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def send(self, said: Sentence) -> None:
        """Ask, once the requests before it in its room are answered; returns when the next one may be given."""
        await self._places.acquire()
        room = said.get("room", said["id"])  # Calls have no room, and no order.
        task = asyncio.ensure_future(self._after(self._last.get(room), said))
        self._last[room] = task
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def stop(self) -> None:
        """Ask nothing more, and wait for no answer."""
        for task in self._tasks:
            task.cancel()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._places.release()
        self._last = {room: last for room, last in self._last.items() if last is not task}

    async def _after(self, before: asyncio.Task[None] | None, said: Sentence) -> None:
        if before is not None:
            await asyncio.wait({before})
        for _ in range(_LOOKS):
            if said.get("echo") is not False or self._stream.alone:
                break
            await asyncio.sleep(_LOOK)
        try:
            answer = await self._ask(said)
            body = await answer.read()
        except Exception:  # noqa: BLE001 - whatever broke, there is no answer
            self._refused(said, _unanswered(said), "no answer")
            return
        found = problem_of(body)
        if answer.status_code == 200 and body:
            kind = _ANSWERS.get(said["type"], said["type"])
            payload = found.get("payload") if kind == "result" else found
            self._answer({"type": kind, "room": said.get("room"), "id": said["id"], "payload": payload})
            return
        # What a proxy refuses has not reached the gateway; what it could not bring may have.
        code = "unavailable" if 300 <= answer.status_code < 500 else _unanswered(said)
        wait = found.get("retry_after_ms") or retry_after(answer) * 1000 or None
        detail = str(found.get("detail") or f"HTTP {answer.status_code}")
        more = {"retry_after_ms": wait, "reason": found.get("reason")}
        self._refused(said, str(found.get("code") or code), detail, more)

    def _refused(self, said: Sentence, code: str, message: str, more: Mapping[str, object] | None = None) -> None:
        payload = {"code": code, "message": message, **(more or {})}
        self._answer({"type": "error", "room": said.get("room"), "id": said["id"], "payload": payload})

    async def _ask(self, said: Sentence) -> Answer:
        fields = {name: value for name, value in said.items() if name not in ("type", "id", "room", *_TRACE)}
        headers = {"Authorization": f"Bearer {self._token()}"}
        if said["type"] not in _ANSWERS:
            address = paths.of_room(self._url, said["room"], said["type"], _flat(fields))
            return await ask(address, self._options, headers)
        headers |= {name: said[name] for name in _TRACE if name in said} | {"Content-Type": "application/json"}
        body = json.dumps({**fields, "connection": self._stream.connection}, ensure_ascii=False).encode()
        call = said["type"] == "call"
        address = paths.of_calls(self._url) if call else paths.of_room(self._url, said["room"], "messages", {})
        return await ask(address, self._options, headers, body)


def _flat(fields: Mapping[str, Any]) -> dict[str, object]:
    """The fields of a question as those of an address: a position is an epoch and an offset there."""
    flat: dict[str, object] = {}
    for name, value in fields.items():
        flat |= {"epoch": value["epoch"], name: value["offset"]} if isinstance(value, dict) else {name: value}
    return flat


def _unanswered(said: Sentence) -> str:
    """Of a publish or a call without an answer nobody knows what became of it."""
    return "outcome_unknown" if said["type"] in _ANSWERS else "unavailable"
