"""The registry in Redis: each room and each user where its partition is, the pods' leases and revocations in the first.

Writes go the way of publishes, in one order; what Redis answers is believed no further than any other bytes.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from time import time
from typing import Final

import msgspec

from forestay.bus.redis.bus import RedisBus
from forestay.bus.redis.client.command import Fate
from forestay.bus.redis.client.connection import Complaint, pack
from forestay.bus.redis.keys import PARTITIONS
from forestay.bus.redis.messages import live
from forestay.bus.redis.registry_scripts import (
    BEAT,
    CLAIM,
    CLEAR,
    COUNTED,
    DISOWN,
    FREE,
    HELD,
    OWNED,
    PUT,
    RELEASE,
    RETIRE,
    REVOKE,
    ROLL,
)
from forestay.bus.redis.script import Script
from forestay.core.ports.bus import BusLost, Outcome
from forestay.core.ports.registry import Claim, HeartbeatReply, Holdings, Member, PresencePage, Revocation
from forestay.protocol.depth import MAX_DEPTH, deeper_than
from forestay.protocol.envelope import encode
from forestay.protocol.message import Message
from forestay.protocol.names import RoomName

# Where the leases and the revocations are.
_FIRST: Final = 0

_read_stays = msgspec.msgpack.Decoder(dict[str, tuple[int, str]]).decode
_read_revocation = msgspec.json.Decoder(Revocation).decode


class RedisRegistry:
    def __init__(self, pod: str, bus: RedisBus) -> None:
        """`pod`: this pod's name, which no other has had."""
        self._pod = pod
        self._bus = bus
        self._grammar = bus.grammar
        self._mine: dict[RoomName, set[str]] = {}
        """Users that this pod has in each room."""
        self._learned = b"0"
        self._run: object = None
        self._seen: set[str] = set()
        """Pods that were met in rooms since the last beat."""

    def put(self, stay: Member, room: RoomName, news: Message | None, settled: Callable[[Outcome], None]) -> None:
        names = self._grammar.of(room)
        owned = self._grammar.owned_rooms(names.partition, self._pod)
        info = stay.info or b""
        said = (b"", b"") if news is None else (live(encode(news)), names.channel)
        facts = (self._pod, _bytes(stay.user), stay.connections, info, _bytes(room), *said, self._bus.say)
        data = _evaluate(PUT, (*self._grammar.present(room), owned), *facts)
        self._bus.write(names.partition, data, lambda reply: settled(_outcome(reply)))
        mine = self._mine.setdefault(room, set())
        if stay.connections:
            mine.add(stay.user)
            return
        mine.discard(stay.user)
        if not mine:
            del self._mine[room]
            self._bus.write(names.partition, _evaluate(DISOWN, (owned,), _bytes(room)), _whatever)

    async def presence_page(self, room: RoomName, after: str | None, limit: int) -> PresencePage:
        start = b"-" if after is None else b"(" + _bytes(after)
        data = _evaluate(ROLL, self._grammar.present(room), start, limit + 1)
        reply = await self._bus.read(self._grammar.of(room).partition, data)
        match reply:
            case [int() as connections, int() as users, list() as flat]:
                members = [self._member(user, stays) for user, stays in zip(flat[::2], flat[1::2], strict=True)]
                return PresencePage(connections, users, members[:limit], len(members) > limit)
            case _:
                raise BusLost("the script answered something else")

    def _member(self, user: object, stays: object) -> Member:
        """A user by what each pod has said of it."""
        try:
            said = _read_stays(stays) if isinstance(stays, bytes) and stays else {}
        except msgspec.MsgspecError:
            said = {}
        self._seen.update(said)
        info = next((info for _, info in said.values() if info), None)
        connections = sum(connections for connections, _ in said.values())
        return Member(_text(user), connections, info.encode() if info else None)

    def _strangers_beside(self, alive: Sequence[str]) -> list[str]:
        """Pods that were met in rooms and have no lease: their node remembers what that of the leases has forgotten."""
        seen, self._seen = self._seen, set()
        return sorted(seen.difference(alive))

    async def claim(self, user: str, connection: str, limit: int, *, replace: bool) -> Claim:
        partition, mine = self._grammar.connections(user)
        keys = (mine, self._grammar.owned_users(partition, self._pod))
        data = _evaluate(CLAIM, keys, self._pod, _bytes(user), connection, limit, int(replace))
        match await self._asked(partition, data):
            case [1, *yielding]:
                return Claim(granted=True, yielding=[id.decode() for id in yielding if isinstance(id, bytes)])
            case _:
                return Claim(granted=False)

    def release(self, user: str, connection: str, settled: Callable[[Outcome], None]) -> None:
        partition, mine = self._grammar.connections(user)
        keys = (mine, self._grammar.owned_users(partition, self._pod))
        data = _evaluate(RELEASE, keys, _bytes(user), connection)
        self._bus.write(partition, data, lambda reply: settled(_outcome(reply)))

    async def revoke(self, revocation: Revocation) -> None:
        until = max(0, int(revocation.until) + 1)
        data = _evaluate(REVOKE, self._grammar.revocations(), msgspec.json.encode(revocation), until, int(time()))
        await self._asked(_FIRST, data)

    async def heartbeat(self, lease: float, connections: int = 0) -> HeartbeatReply:
        keys = (self._grammar.leases(), self._grammar.revocations()[0], self._grammar.load())
        data = _evaluate(BEAT, keys, self._pod, int(lease * 1000), self._learned, connections)
        match await self._asked(_FIRST, data):
            case [int() as known, list() as pods, list() as lapsed, list() as revocations, list() as load]:
                # A Redis that was restarted or replaced may remember an older state, and our lease with it.
                run, self._run = self._run, self._bus.incarnations
                sure = bool(known) and run == self._run
                new = [found for text in revocations[::2] if (found := _revocation(text)) is not None]
                self._learned = (revocations[-1] if revocations else self._learned) if sure else b"0"
                alive = _texts(pods)
                said = dict(zip(_texts(load[::2]), map(int, load[1::2]), strict=True))
                here = {pod: said[pod] for pod in alive if pod in said}
                return HeartbeatReply(sure, alive, [*_texts(lapsed), *self._strangers_beside(alive)], new, here)
            case _:
                raise BusLost("the script answered something else")

    async def recall(self) -> Holdings:
        parts = await asyncio.gather(*(self._recall(partition) for partition in range(PARTITIONS)))
        stays = [one for part in parts for one in part.stays]
        # What it believes is what DISOWN goes by.
        for room, user in stays:
            self._mine.setdefault(room, set()).add(user)
        return Holdings(stays, [one for part in parts for one in part.claims])

    async def _recall(self, partition: int) -> Holdings:
        rooms, users = await self._owned(partition, self._pod)
        stays: list[tuple[RoomName, str]] = []
        for room in map(RoomName, rooms):
            held = await self._bus.read(partition, _evaluate(HELD, self._grammar.present(room)[:1], self._pod))
            stays += [(room, user) for user in _texts(held if isinstance(held, list) else [])]
        claims: list[tuple[str, str]] = []
        for user in users:
            key = self._grammar.connections(user)[1]
            counted = await self._bus.read(partition, _evaluate(COUNTED, (key,), self._pod))
            claims += [(user, id) for id in _texts(counted if isinstance(counted, list) else [])]
        return Holdings(stays, claims)

    async def _owned(self, partition: int, pod: str) -> tuple[list[str], list[str]]:
        """The rooms and the users of one partition in which `pod` has something."""
        keys = (self._grammar.owned_rooms(partition, pod), self._grammar.owned_users(partition, pod))
        match await self._bus.read(partition, _evaluate(OWNED, keys)):
            case [list() as rooms, list() as users]:
                return _texts(rooms), _texts(users)
            case _:
                raise BusLost("the script answered something else")

    async def reap(self, pod: str) -> Sequence[tuple[RoomName, str]]:
        parts = await asyncio.gather(*(self._reap(partition, pod) for partition in range(PARTITIONS)))
        await self._asked(_FIRST, _evaluate(RETIRE, self._retiring(), pod, 0))
        return [gone for part in parts for gone in part]

    async def _reap(self, partition: int, pod: str) -> list[tuple[RoomName, str]]:
        owned_rooms = self._grammar.owned_rooms(partition, pod)
        owned_users = self._grammar.owned_users(partition, pod)
        rooms, users = await self._owned(partition, pod)
        gone: list[tuple[RoomName, str]] = []
        for room in map(RoomName, rooms):
            data = _evaluate(CLEAR, (*self._grammar.present(room), owned_rooms), pod, _bytes(room))
            left = await self._asked(partition, data)
            gone += [(room, user) for user in _texts(left if isinstance(left, list) else [])]
        for user in users:
            data = _evaluate(FREE, (self._grammar.connections(user)[1], owned_users), pod, _bytes(user))
            await self._asked(partition, data)
        return gone

    def _retiring(self) -> tuple[bytes, bytes]:
        return self._grammar.leases(), self._grammar.load()

    async def retire(self, grace: float) -> None:
        if grace:
            data = _evaluate(RETIRE, self._retiring(), self._pod, int(grace * 1000))
            await self._asked(_FIRST, data)
        else:
            await self.reap(self._pod)

    async def _asked(self, partition: int, data: bytes) -> object:
        """The reply to a write. Raises BusLost."""
        answer: asyncio.Future[object] = asyncio.get_running_loop().create_future()

        def then(reply: object) -> None:
            if not answer.done():
                answer.set_result(reply)

        self._bus.write(partition, data, then)
        reply = await answer
        if isinstance(reply, Complaint | Fate):
            raise BusLost("Redis did not do it")
        return reply


def _evaluate(script: Script, keys: Sequence[bytes], *arguments: bytes | str | int) -> bytes:
    return pack(b"EVALSHA", script.digest, len(keys), *keys, *arguments)


def _outcome(reply: object) -> Outcome:
    if reply == 1:
        return Outcome.ACCEPTED
    return Outcome.UNKNOWN if reply is Fate.UNKNOWN else Outcome.REFUSED


def _revocation(text: object) -> Revocation | None:
    if not isinstance(text, bytes) or deeper_than(text, MAX_DEPTH):
        return None
    try:
        return _read_revocation(text)
    except msgspec.MsgspecError:
        return None


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _text(data: object) -> str:
    return data.decode("utf-8", "replace") if isinstance(data, bytes) else ""


def _texts(found: Iterable[object]) -> list[str]:
    return [_text(one) for one in found]


def _whatever(reply: object) -> None:
    """It is said again with the next one that leaves, or found when the pod is buried."""
