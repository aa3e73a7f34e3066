"""Lets operators see what waits for the receiver of webhooks, and read, replay and delete dead letters."""

import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from aiohttp import web
from msgspec import Raw

from forestay.core.ports.bus import PAGE_BYTES, BusLost, Unavailable
from forestay.core.ports.webhooks import HANDLE, Backlog, DeadLetter, WebhookQueue
from forestay.core.rules.scopes import Grant, Scope
from forestay.edge.api.audit import Audit
from forestay.edge.api.handler import Paths, answered
from forestay.edge.request_parts import name_in_path, page_limit, query_value
from forestay.protocol.codes import ErrorCode, Refusal
from forestay.protocol.webhooks import encode_event

Found = TypeVar("Found")

_ID: Final = re.compile(HANDLE, re.ASCII).fullmatch

# Letters that are read at once. Each may be as large as a message.
_PART: Final = 20

# Letters that one request replays.
_MOST_REPLAYED: Final = 1000

_LAST: Final = -1


@dataclass(frozen=True, slots=True)
class WebhookSource:
    """What the paths read."""

    queue: WebhookQueue
    backlog: Callable[[], Backlog]
    """What waited when this pod looked last."""


class Webhooks:
    """The paths about webhooks. They are about all rooms and all users, and so is the right to them."""

    def __init__(self, source: WebhookSource, audit: Audit) -> None:
        self._source = source
        self._audit = audit

    def paths(self) -> Paths:
        return {
            "/v1/webhooks": {"GET": self._state},
            "/v1/webhooks/resume": {"POST": self._resume},
            "/v1/webhooks/dead": {"GET": self._dead},
            "/v1/webhooks/dead/replay": {"POST": self._replay_all},
            "/v1/webhooks/dead/{id}": {"DELETE": self._forget},
            "/v1/webhooks/dead/{id}/replay": {"POST": self._replay},
        }

    async def _state(self, request: web.Request, grant: Grant) -> web.StreamResponse:
        grant.require_everywhere(Scope.READ)
        found = self._source.backlog()
        lag = round(found.lag(time.time()), 3)
        state = {"waiting": found.waiting, "lag": lag, "dead": found.dead, "stopped": found.stopped}
        return answered(state)

    async def _resume(self, request: web.Request, grant: Grant) -> web.StreamResponse:
        async def resume() -> Mapping[str, object]:
            grant.require_everywhere(Scope.MANAGE)
            await _of_queue(self._source.queue.resume())
            return {}

        return answered(await self._audit.run(request, grant, "resume", {}, resume))

    async def _dead(self, request: web.Request, grant: Grant) -> web.StreamResponse:
        grant.require_everywhere(Scope.READ)
        limit, after = page_limit(request), query_value(request, "after")
        after = "" if after is None else _checked(after)
        letters: list[dict[str, object]] = []
        size, last, more = 0, after, True
        while more and len(letters) < limit and size < PAGE_BYTES:
            part = await _of_queue(self._source.queue.dead(last, min(_PART, limit - len(letters))))
            more = bool(part)
            for letter in part:
                event = encode_event(letter.event)
                size += len(event)
                letters.append(_fields(letter, event))
                last = letter.id
                if size >= PAGE_BYTES:
                    break
        answer: dict[str, object] = {"dead": letters}
        rest = await _of_queue(self._source.queue.dead(last, 1)) if more else ()
        if rest:
            answer["next"] = last
        return answered(answer)

    async def _replay(self, request: web.Request, grant: Grant) -> web.StreamResponse:
        id = _checked(name_in_path(request))

        async def replay() -> Mapping[str, object]:
            grant.require_everywhere(Scope.MANAGE)
            return {"replayed": _one(await _of_queue(self._source.queue.replay([id])), id)}

        return answered(await self._audit.run(request, grant, "replay", {"letter": id}, replay))

    async def _replay_all(self, request: web.Request, grant: Grant) -> web.StreamResponse:
        async def replay() -> Mapping[str, object]:
            grant.require_everywhere(Scope.MANAGE)
            replayed, ids = 0, await self._first_ids()
            while ids and replayed < _MOST_REPLAYED:
                replayed += await _of_queue(self._source.queue.replay(ids))
                ids = await self._first_ids()
            return {"replayed": replayed, "more": bool(ids)}

        return answered(await self._audit.run(request, grant, "replay", {"letter": "all"}, replay))

    async def _forget(self, request: web.Request, grant: Grant) -> web.StreamResponse:
        id = _checked(name_in_path(request, _LAST))

        async def forget() -> Mapping[str, object]:
            grant.require_everywhere(Scope.MANAGE)
            return {"deleted": _one(await _of_queue(self._source.queue.forget([id])), id)}

        return answered(await self._audit.run(request, grant, "forget", {"letter": id}, forget))

    async def _first_ids(self) -> Sequence[str]:
        return [letter.id for letter in await _of_queue(self._source.queue.dead("", _PART))]


def _checked(id: str) -> str:
    """`id`, if a dead letter may have it. Raises Refusal."""
    if not _ID(id):
        raise Refusal(ErrorCode.BAD_MESSAGE, "this is no id of a dead letter; GET /v1/webhooks/dead has them")
    return id


def _one(found: int, id: str) -> int:
    """Raises Refusal where there was no letter."""
    if not found:
        raise Refusal(ErrorCode.NOT_FOUND, f"there is no dead letter {id}; it may be replayed or deleted already")
    return found


async def _of_queue(answer: Awaitable[Found]) -> Found:
    """What the queue answers. Raises Refusal where it is lost."""
    try:
        return await answer
    except BusLost as lost:
        raise Unavailable.because(lost) from None


def _fields(letter: DeadLetter, event: bytes) -> dict[str, object]:
    return {
        "id": letter.id,
        "reason": letter.reason,
        "attempts": letter.attempts,
        "time": letter.time,
        "event": Raw(event),
    }
