"""The queue of webhook events in Redis: a stream and a consumer group, on a Cluster one for each partition."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from forestay.bus.redis.bus import RedisBus
from forestay.bus.redis.evaluation import UNEXPECTED, evalsha, write
from forestay.bus.redis.event_scripts import (
    BACKLOG,
    DEAD,
    DONE,
    FORGET,
    HOLD,
    REPLAY,
    SET_ASIDE,
    STOP,
    TAKE,
)
from forestay.bus.redis.script import Script
from forestay.bus.redis.signatures import Forged
from forestay.core.ports.bus import BusLost
from forestay.core.ports.webhooks import DEAD_TTL, Backlog, DeadLetter, QueuedEvent
from forestay.protocol.envelope import BadEnvelope
from forestay.protocol.position import Position
from forestay.protocol.timestamps import timestamp
from forestay.protocol.webhooks import WebhookEvent, decode_event

# The part of a lease after which other pods take an event of which nothing was heard. The rest of the lease is theirs
# to notice it in.
_STALE: Final = 0.6

# More than any lease, in milliseconds.
_LONG_AGO: Final = 10**12


class RedisWebhooks:
    """The queue, as one pod sees it."""

    def __init__(self, pod: str, bus: RedisBus, lease: float, clock: Callable[[], float]) -> None:
        """`lease`: seconds within which other pods deliver what a dead pod has taken. `clock`: Unix seconds."""
        self._pod = pod
        self._bus = bus
        self._log = bus.events
        self._stale = max(1, int(lease * _STALE * 1000))
        self._clock = clock
        self._cursors: dict[int, bytes] = {}

    async def take(self, most: int) -> Sequence[QueuedEvent]:
        while True:
            for partition in await self._log.noted():
                self._log.checked(partition)
                found = await self._take(partition, most)
                if found:
                    # There may be more.
                    self._log.note(partition)
                    return found

    async def _take(self, partition: int, most: int) -> list[QueuedEvent]:
        cursor = self._cursors.get(partition, b"0-0")
        match await self._run(TAKE, partition, self._pod, most, self._stale, cursor):
            case [list() as entries, bytes() as cursor]:
                self._cursors[partition] = cursor
            case _:
                raise BusLost(UNEXPECTED)
        found: list[QueuedEvent] = []
        bad: list[str] = []
        for id, fields in entries:
            handle = f"{partition}.{id.decode()}"
            event = self._event(partition, id, _named(fields))
            if event is None:
                bad.append(handle)
            else:
                found.append(QueuedEvent(handle, event))
        if bad:
            await self.done(bad)
        return found

    def _event(self, partition: int, id: bytes, fields: dict[bytes, bytes]) -> WebhookEvent | None:
        """The event of an entry; None where it is not believed, which is reported."""
        data = self._log.guard.unseal(self._log.keys(partition).events, fields.get(b"e", b""))
        if data is None:
            self._log.dropped(Forged("an event without a good seal; do all pods have the same secret?"))
            return None
        try:
            event = decode_event(data)
        except ValueError as error:
            self._log.dropped(BadEnvelope(str(error)))
            return None
        epoch, colon, offset = fields.get(b"p", b"").decode("ascii", "replace").partition(":")
        position = Position(epoch, int(offset)) if colon and offset.isdecimal() else None
        return event.placed(_sequence(fields.get(b"s", id)), position)

    async def hold(self, handles: Sequence[str]) -> None:
        await self._each(HOLD, handles, self._pod, 0)

    async def give_back(self, handles: Sequence[str]) -> None:
        await self._each(HOLD, handles, self._pod, _LONG_AGO)

    async def done(self, handles: Sequence[str]) -> None:
        await self._each(DONE, handles)

    async def set_aside(self, handles: Sequence[str], reason: str, attempts: int) -> None:
        now = timestamp(int(self._clock() * 1000))
        await self._each(SET_ASIDE, handles, self._log.most_dead, DEAD_TTL, reason, attempts, now)

    async def backlog(self) -> Backlog:
        waiting = dropped = dead = stopped = 0
        oldest: list[float] = []
        for partition, reply in enumerate(await self._everywhere(BACKLOG, self._log.receiver, self._pod)):
            match reply:
                case [int() as here, bytes() as first, int() as lost, int() as letters, int() as stops]:
                    waiting, dropped, dead, stopped = waiting + here, dropped + lost, dead + letters, stopped + stops
                case _:
                    raise BusLost(UNEXPECTED)
            if here:
                self._log.note(partition)
                oldest.append(int(first.partition(b"-")[0]) / 1000)
        return Backlog(waiting, min(oldest, default=None), dropped, dead, stopped > 0)

    async def stop(self) -> None:
        await self._everywhere(STOP, self._log.receiver)

    async def resume(self) -> None:
        await self._everywhere(STOP, "")

    async def dead(self, after: str, limit: int) -> Sequence[DeadLetter]:
        partition, start = 0, b"-"
        if after:
            partition, id = _parts(after)
            start = b"(" + id
        found: list[DeadLetter] = []
        while partition < self._log.partitions and len(found) < limit:
            entries = await self._run(DEAD, partition, start, limit - len(found))
            for id, flat in entries if isinstance(entries, list) else []:
                letter = self._letter(partition, id, _named(flat))
                if letter is not None:
                    found.append(letter)
            partition, start = partition + 1, b"-"
        return found

    def _letter(self, partition: int, id: bytes, fields: dict[bytes, bytes]) -> DeadLetter | None:
        event = self._event(partition, id, fields)
        if event is None:
            return None
        reason, time = (fields.get(name, b"").decode("utf-8", "replace") for name in (b"r", b"t"))
        attempts = fields.get(b"n", b"")
        return DeadLetter(f"{partition}.{id.decode()}", event, reason, int(attempts) if attempts.isdigit() else 0, time)

    async def replay(self, ids: Sequence[str]) -> int:
        found = await self._each(REPLAY, ids, *self._log.limits)
        for partition in _by_partition(ids):
            self._log.note(partition)
        return found

    async def forget(self, ids: Sequence[str]) -> int:
        return await self._each(FORGET, ids)

    async def _each(self, script: Script, handles: Sequence[str], *arguments: bytes | str | int) -> int:
        """Run `script` for these entries. Returns the sum of what it replies."""
        done = 0
        for partition, ids in _by_partition(handles).items():
            if partition < self._log.partitions:
                reply = await self._run(script, partition, *arguments, *ids)
                done += reply if isinstance(reply, int) else 0
        return done

    async def _everywhere(self, script: Script, *arguments: bytes | str | int) -> list[object]:
        """What `script` replies in all partitions."""
        runs = (self._run(script, partition, *arguments) for partition in range(self._log.partitions))
        return await asyncio.gather(*runs)

    async def _run(self, script: Script, partition: int, *arguments: bytes | str | int) -> object:
        keys = self._log.keys(partition)
        data = evalsha(script, (keys.events, keys.facts, keys.dead), *arguments)
        return await write(self._bus, partition, data)


def _by_partition(handles: Sequence[str]) -> dict[int, list[bytes]]:
    found: dict[int, list[bytes]] = {}
    for handle in handles:
        partition, id = _parts(handle)
        found.setdefault(partition, []).append(id)
    return found


def _parts(handle: str) -> tuple[int, bytes]:
    """The partition and the id of an entry."""
    partition, _, id = handle.partition(".")
    return int(partition), id.encode()


def _named(flat: object) -> dict[bytes, bytes]:
    """The fields of an entry by their names."""
    return dict(zip(flat[::2], flat[1::2], strict=False)) if isinstance(flat, list) else {}


def _sequence(id: bytes) -> str:
    """The id of an entry, so that ids in their order are texts in their order."""
    milliseconds, _, number = id.decode("ascii", "replace").partition("-")
    return f"{milliseconds:0>13}-{number:0>6}"
