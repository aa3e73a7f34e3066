"""The registry in Redis: rooms and users in their own partitions, pods and revocations in the first one.

Writes take the same pipeline as publishes, in one order. Replies are trusted no more than any other data on the bus.
"""

import asyncio
from collections.abc import Callable, Sequence
from time import time

import msgspec

from forestay.bus.redis.bus import RedisBus
from forestay.bus.redis.completeness import SETTLING, Completeness
from forestay.bus.redis.evaluation import UNEXPECTED, evalsha, write
from forestay.bus.redis.event_log import NOTHING
from forestay.bus.redis.keys import FIRST, PARTITIONS
from forestay.bus.redis.pods import RedisPods
from forestay.bus.redis.registry_replies import is_json, read_outcome, text, texts, to_bytes
from forestay.bus.redis.registry_scripts import (
    CLAIM,
    CONNECTIONS,
    DISOWN,
    MEMBERS,
    OWNED,
    PAGE,
    PUT,
    RELEASE,
    RELEASE_ALL,
    REMOVE_MEMBERS,
    REVOKE,
)
from forestay.bus.redis.ticket_scripts import KEEP_TICKET, USE_TICKET
from forestay.core.ports.bus import PAGE_BYTES, BusLost, Outcome
from forestay.core.ports.registry import Claim, HeartbeatReply, Holdings, Revocation, nothing
from forestay.core.ports.verifier import TicketUse
from forestay.protocol.message import Message
from forestay.protocol.names import RoomName
from forestay.protocol.presence import Member, PresencePage

_decode_entries = msgspec.msgpack.Decoder(dict[str, tuple[int, str]]).decode


class RedisRegistry:
    def __init__(self, pod: str, bus: RedisBus, settling: float = SETTLING) -> None:
        """`pod`: the name of this pod, which no other pod has had.

        `settling`: seconds after a loss in which Redis may not know all pods.
        """
        self._pod = pod
        self._bus = bus
        self._pods = RedisPods(pod, bus, Completeness(settling))
        self._keys = bus.keys
        self._members: dict[RoomName, set[str]] = {}
        """The users that this pod has in each room."""

    def put(
        self,
        member: Member,
        room: RoomName,
        news: Message | None,
        settled: Callable[[Outcome], None],
        told: bytes | None = None,
    ) -> None:
        keys = self._keys.room(room)
        owned = self._keys.owned_rooms(keys.partition, self._pod)
        info = member.info or b""
        published = (b"", b"") if news is None else (self._bus.encode_live(keys, news), keys.channel)
        entry = (self._pod, to_bytes(member.user), member.connections, info, to_bytes(room))
        adding = NOTHING if told is None else self._bus.events.adding(keys.partition, told)
        names = (*self._keys.presence(room), owned, *adding.keys)
        data = evalsha(PUT, names, *entry, *published, self._bus.publish_verb, *adding.arguments)

        def settle(reply: object) -> None:
            settled(read_outcome(reply))

        self._bus.write(
            keys.partition, data, settle if told is None else self._bus.events.waking(keys.partition, settle)
        )
        members = self._members.setdefault(room, set())
        if member.connections:
            members.add(member.user)
            return
        members.discard(member.user)
        if not members:
            del self._members[room]
            self._bus.write(keys.partition, evalsha(DISOWN, (owned,), to_bytes(room)), _ignore)

    async def presence_page(
        self, room: RoomName, after: str | None, limit: int, max_bytes: int = PAGE_BYTES
    ) -> PresencePage:
        start = b"-" if after is None else b"(" + to_bytes(after)
        data = evalsha(PAGE, self._keys.presence(room), start, limit, max_bytes)
        reply = await self._bus.read(self._keys.room(room).partition, data)
        match reply:
            case [int() as connections, int() as users, list() as flat, int() as more, int() as refused]:
                members = [self._member(user, entries) for user, entries in zip(flat[::2], flat[1::2], strict=True)]
                return PresencePage(connections, users, members, bool(more), bool(refused) or self._pods.moved)
            case _:
                raise BusLost(UNEXPECTED)

    def _member(self, user: object, packed: object) -> Member:
        """A user, from the entries of all pods."""
        try:
            entries = _decode_entries(packed) if isinstance(packed, bytes) and packed else {}
        except (msgspec.MsgspecError, UnicodeDecodeError):
            entries = {}
        self._pods.see(entries)
        info = next((info for _, info in entries.values() if info and is_json(info)), None)
        connections = sum(connections for connections, _ in entries.values())
        return Member(text(user), connections, info.encode() if info else None)

    async def claim(self, user: str, connection: str, limit: int, *, replace: bool) -> Claim:
        partition, connections = self._keys.connections(user)
        keys = (connections, self._keys.owned_users(partition, self._pod))
        data = evalsha(CLAIM, keys, self._pod, to_bytes(user), connection, limit, int(replace))
        match await self._write(partition, data):
            case [1, *yielding]:
                return Claim(granted=True, yielding=[id.decode() for id in yielding if isinstance(id, bytes)])
            case _:
                return Claim(granted=False)

    def release(self, user: str, connection: str, settled: Callable[[Outcome], None]) -> None:
        partition, connections = self._keys.connections(user)
        keys = (connections, self._keys.owned_users(partition, self._pod))
        data = evalsha(RELEASE, keys, to_bytes(user), connection)
        self._bus.write(partition, data, lambda reply: settled(read_outcome(reply)))

    async def revoke(self, revocation: Revocation) -> None:
        until = max(0, int(revocation.until) + 1)
        data = evalsha(REVOKE, self._keys.revocations(), msgspec.json.encode(revocation), until, int(time()))
        await self._write(FIRST, data)

    async def keep_ticket(self, name: str, held: bytes, seconds: float, longest: float) -> None:
        partition, key = self._keys.ticket(name)
        times = (max(1, int(seconds * 1000)), max(1, int(longest * 1000)))
        await self._write(partition, evalsha(KEEP_TICKET, (key,), self._bus.guard.seal(key, held), *times))

    async def use_ticket(self, name: str, use: TicketUse, secret: str) -> bytes | None:
        partition, key = self._keys.ticket(name)
        kept = await self._write(partition, evalsha(USE_TICKET, (key,), use.value, secret))
        return self._bus.guard.unseal(key, kept) if isinstance(kept, bytes) else None

    async def heartbeat(self, lease: float, connections: int = 0) -> HeartbeatReply:
        return await self._pods.heartbeat(lease, connections)

    async def pods(self) -> Sequence[str]:
        return await self._pods.serving()

    async def recall(self) -> Holdings:
        parts = await asyncio.gather(*(self._recall(partition) for partition in range(PARTITIONS)))
        presence = [one for part in parts for one in part.presence]
        # `put` sends DISOWN when the last of these users is gone.
        for room, user in presence:
            self._members.setdefault(room, set()).add(user)
        return Holdings(presence, [one for part in parts for one in part.claims])

    async def _recall(self, partition: int) -> Holdings:
        rooms, users = await self._owned(partition, self._pod)
        presence: list[tuple[RoomName, str]] = []
        for room in map(RoomName, rooms):
            members = await self._bus.read(partition, evalsha(MEMBERS, self._keys.presence(room)[:1], self._pod))
            presence += [(room, user) for user in texts(members if isinstance(members, list) else [])]
        claims: list[tuple[str, str]] = []
        for user in users:
            key = self._keys.connections(user)[1]
            connections = await self._bus.read(partition, evalsha(CONNECTIONS, (key,), self._pod))
            claims += [(user, id) for id in texts(connections if isinstance(connections, list) else [])]
        return Holdings(presence, claims)

    async def _owned(self, partition: int, pod: str) -> tuple[list[str], list[str]]:
        """The rooms and the users of one partition in which `pod` has entries. Raises BusLost."""
        keys = (self._keys.owned_rooms(partition, pod), self._keys.owned_users(partition, pod))
        match await self._bus.read(partition, evalsha(OWNED, keys)):
            case [list() as rooms, list() as users]:
                return texts(rooms), texts(users)
            case _:
                raise BusLost(UNEXPECTED)

    async def reap(
        self, pod: str, told: Callable[[RoomName], bytes | None] = nothing
    ) -> Sequence[tuple[RoomName, str]]:
        parts = await asyncio.gather(*(self._reap(partition, pod, told) for partition in range(PARTITIONS)))
        await self._pods.end_lease(pod)
        return [gone for part in parts for gone in part]

    async def _reap(
        self, partition: int, pod: str, told: Callable[[RoomName], bytes | None]
    ) -> list[tuple[RoomName, str]]:
        owned_rooms = self._keys.owned_rooms(partition, pod)
        owned_users = self._keys.owned_users(partition, pod)
        rooms, users = await self._owned(partition, pod)
        gone: list[tuple[RoomName, str]] = []
        for room in map(RoomName, rooms):
            event = told(room)
            adding = NOTHING if event is None else self._bus.events.adding(partition, event)
            names = (*self._keys.presence(room), owned_rooms, *adding.keys)
            data = evalsha(REMOVE_MEMBERS, names, pod, to_bytes(room), *adding.arguments)
            left = await self._write(partition, data)
            if event is not None:
                self._bus.events.note(partition)
            gone += [(room, user) for user in texts(left if isinstance(left, list) else [])]
        for user in users:
            data = evalsha(RELEASE_ALL, (self._keys.connections(user)[1], owned_users), pod, to_bytes(user))
            await self._write(partition, data)
        return gone

    async def retire(self, grace: float) -> None:
        if grace:
            await self._pods.end_lease(self._pod, grace)
        else:
            await self.reap(self._pod)

    async def _write(self, partition: int, data: bytes) -> object:
        return await write(self._bus, partition, data)


def _ignore(reply: object) -> None:
    """Takes the reply to DISOWN: it is sent again with the next user who leaves, or the room is found by `reap`."""
