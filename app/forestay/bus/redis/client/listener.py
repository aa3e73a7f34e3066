"""What one node is heard saying: rooms are subscribed to in batches, and every hole in the hearing is admitted.

A room is heard once Redis confirmed it, which is when `confirmed` is called. After a new connection the rooms are
confirmed again, and those that were heard before are doubted then: whatever was said in between is not in the ear.
"""

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Final, Protocol

from forestay.bus.redis.client.connection import Away, Complaint, Misconfigured, Wire, pack
from forestay.bus.redis.client.link import Dial, Link, Linked
from forestay.bus.redis.client.subscription import PLAIN, SHARDED, Ear, Subscription, by_slot

# Channels that are asked for at once; the next ones are when these are confirmed. Redis does about a million a second,
# so a pod with 100,000 rooms is back in a second and no other pod waits for it longer than a moment.
_BATCH: Final = 500


class Owner(Protocol):
    """Who is told how the listening fares."""

    def probed(self, data: bytes) -> None:
        """The node said something on the pod's own channel."""

    def listening(self) -> None:
        """The pod's own channel is confirmed."""

    def silent(self, why: str) -> None: ...

    def listening_failed(self, error: Away | Misconfigured) -> None: ...

    def displaced(self) -> None:
        """The node says that some channel is not, or no longer, its own."""


class _Asked:
    """A command on its way and the channels whose confirmation is still to come."""

    __slots__ = ("channels", "on")

    def __init__(self, channels: Iterable[bytes], *, on: bool) -> None:
        self.on = on
        self.channels = deque(channels)


class Listener:
    def __init__(self, dial: Dial, owner: Owner, ear: Ear, probe: bytes, patience: float, *, sharded: bool) -> None:
        """`probe`: the pod's own channel. `patience`: seconds for a confirmation. `sharded`: it is a Cluster's node."""
        self._loop = asyncio.get_running_loop()
        self._owner = owner
        self._ear = ear
        self._probe = probe
        self._patience = patience
        self._sharded = sharded
        self._words = SHARDED if sharded else PLAIN
        self.link = Link(dial, self, patience)
        self._wanted: dict[bytes, Subscription] = {}
        self._live: dict[bytes, Subscription] = {}
        """Confirmed on this connection, and wanted."""
        self._standing: set[bytes] = set()
        """What Redis will be sending once it has read all that was written."""
        self._changed: deque[bytes] = deque()
        self._noted: set[bytes] = set()
        """The same: where what is wanted may not be what stands, each once."""
        self._turned_down: set[bytes] = set()
        """What the node says is not its own."""
        self._asked: deque[_Asked] = deque()
        self._again: list[Subscription] = []
        self._scheduled = False
        self._overdue: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self.link.start()

    async def close(self) -> None:
        await self.link.close()

    def add(self, subscription: Subscription) -> None:
        channel = subscription.channel
        self._wanted[channel] = subscription
        if self._live.pop(channel, None) is not None:
            # Somebody asks for what is heard already.
            self._hear(channel)
        else:
            self._change(channel)

    def remove(self, channel: bytes) -> None:
        self._wanted.pop(channel, None)
        self._live.pop(channel, None)
        self._change(channel)

    def probe_on(self, channel: bytes) -> None:
        """From now on the pod's own channel is `channel`."""
        old, self._probe = self._probe, channel
        self._change(old)
        self._change(channel)

    def retry(self) -> None:
        """Ask again for what the node turned down: it may have become responsible."""
        turned_down, self._turned_down = self._turned_down, set()
        for channel in turned_down:
            self._change(channel)

    def _change(self, channel: bytes) -> None:
        if channel not in self._noted:
            self._noted.add(channel)
            self._changed.append(channel)
        if not self._scheduled and not self._asked:
            self._scheduled = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        """Ask Redis for some of what changed, once it has confirmed what was asked before."""
        self._scheduled = False
        if self._asked or self.link.state is not Linked.UP:
            return
        on: list[bytes] = []
        off: list[bytes] = []
        while self._changed and len(on) + len(off) < _BATCH:
            channel = self._changed.popleft()
            self._noted.discard(channel)
            wanted = channel in self._wanted or channel == self._probe
            if wanted and channel in self._standing:
                # It left and came back before Redis was told.
                self._hear(channel)
            elif wanted:
                on.append(channel)
            elif channel in self._standing:
                off.append(channel)
        self._standing.update(on)
        self._standing.difference_update(off)
        self._ask(off, on=False)
        self._ask(on, on=True)
        if self._asked:
            self._overdue = self._loop.call_later(self._patience, self._unconfirmed)

    def _ask(self, channels: list[bytes], *, on: bool) -> None:
        for together in by_slot(channels) if self._sharded else [channels]:
            if together:
                self._asked.append(_Asked(together, on=on))
                self.link.write(pack(self._words.subscribe if on else self._words.unsubscribe, *together))

    def _unconfirmed(self) -> None:
        self.link.break_off(f"no confirmation for {self._patience:g} s", suspect=True)

    def received(self, reply: object) -> None:
        if isinstance(reply, list) and len(reply) == 3:
            kind, channel, data = reply
            if kind == self._words.message:
                if self._again:
                    self._admit()
                subscription = self._live.get(channel)
                if subscription is not None:
                    self._ear.heard(subscription.room, data)
                elif channel == self._probe:
                    self._owner.probed(data)
                return
            if kind == self._words.subscribe or kind == self._words.unsubscribe:
                self._confirmed(channel, on=kind == self._words.subscribe)
                return
        if isinstance(reply, Complaint):
            self._complained(reply)
        else:
            self.link.break_off("the server says what no subscriber understands")

    def _confirmed(self, channel: bytes, *, on: bool) -> None:
        head = self._asked[0] if self._asked else None
        if head is not None and head.on is on and head.channels[0] == channel:
            head.channels.popleft()
            if on:
                self._hear(channel)
            if not head.channels:
                self._answered()
        elif not on:
            # Nobody asked for that: the slot has moved to another node.
            self._displace([channel])

    def _hear(self, channel: bytes) -> None:
        """Redis has confirmed `channel`."""
        if channel == self._probe:
            self._owner.listening()
        subscription = self._wanted.get(channel)
        if subscription is None or channel in self._live:
            return
        self._live[channel] = subscription
        confirmed, subscription.confirmed = subscription.confirmed, None
        if confirmed is not None:
            confirmed()
        elif subscription.doubtful:
            subscription.doubtful = False
            self._again.append(subscription)

    def _answered(self) -> None:
        """The first command on its way is done with; after the last one there is time for others."""
        self._asked.popleft()
        if self._asked:
            return
        if self._overdue is not None:
            self._overdue.cancel()
            self._overdue = None
        self._admit()
        self._flush()

    def _admit(self) -> None:
        again, self._again = self._again, []
        rooms = [subscription.room for subscription in again if self._live.get(subscription.channel) is subscription]
        if rooms:
            self._ear.doubted(rooms)

    def _complained(self, complaint: Complaint) -> None:
        if self._asked and complaint.kind in ("MOVED", "CLUSTERDOWN", "TRYAGAIN"):
            self._displace(self._asked[0].channels)
            self._answered()
        elif complaint.kind == "NOPERM":
            self._owner.listening_failed(Misconfigured(f"{complaint}; allow the Redis user our channels"))
            self.link.break_off(str(complaint), suspect=True)
        else:
            self.link.break_off(str(complaint), suspect=True)

    def _displace(self, channels: Iterable[bytes]) -> None:
        """The node does not have these; asking it again waits for `retry`."""
        for channel in channels:
            self._standing.discard(channel)
            self._turned_down.add(channel)
            subscription = self._live.pop(channel, None)
            if subscription is not None:
                subscription.doubtful = True
        self._owner.displaced()

    def connected(self, wire: Wire) -> None:
        self._turned_down.clear()
        self._changed = deque((self._probe, *self._wanted))
        self._noted = set(self._changed)
        self._flush()

    def disconnected(self, why: str) -> None:
        for subscription in self._live.values():
            subscription.doubtful = True
        self._live.clear()
        self._again.clear()
        self._standing.clear()
        self._asked.clear()
        if self._overdue is not None:
            self._overdue.cancel()
            self._overdue = None
        self._owner.silent(why)

    def unreachable(self, error: Away | Misconfigured) -> None:
        self._owner.listening_failed(error)
