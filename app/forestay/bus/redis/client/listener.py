"""Subscribes to rooms on one node, and reports each room in which messages may be missing.

Subscriptions go out in batches. A room counts once Redis has confirmed it; then its subscriber is told. After a new
connection the rooms are confirmed again. Those that were confirmed before are doubted then: what was published in
between did not arrive.
"""

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Final, Protocol

from forestay.bus.redis.client.command import ErrorReply
from forestay.bus.redis.client.connection import Misconfigured, pack
from forestay.bus.redis.client.link import LinkState, NodeAccess
from forestay.bus.redis.client.probe import Probe
from forestay.bus.redis.client.report import Report
from forestay.bus.redis.client.subscription import Receiver, Subscription, by_slot

# Channels in one batch; the next batch goes out when these are confirmed. Redis does about a million a second. So a pod
# with 100,000 rooms is back in a second, and no other pod waits for it longer than a moment.
_BATCH: Final = 500


class ListenerOwner(Protocol):
    """Learns whether the pod's own channel works."""

    def listening(self) -> None:
        """The channel of the probe is confirmed."""

    def not_listening(self, reason: str) -> None: ...


class _Request:
    """A command that was sent, and the channels that are not confirmed yet."""

    __slots__ = ("channels", "subscribe")

    def __init__(self, channels: Iterable[bytes], *, subscribe: bool) -> None:
        self.subscribe = subscribe
        self.channels = deque(channels)


class Listener:
    def __init__(
        self, access: NodeAccess, owner: ListenerOwner, receiver: Receiver, probe: Probe, report: Report
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._owner = owner
        self._receiver = receiver
        self._probe = probe
        self._report = report
        self._timeout = access.timeout
        self._pubsub = access.pubsub
        self.link = access.link(self)
        self._wanted: dict[bytes, Subscription] = {}
        self._confirmed: dict[bytes, Subscription] = {}
        """Confirmed on this connection, and still wanted."""
        self._subscribed: set[bytes] = set()
        """The channels that Redis will send once it has read all commands."""
        self._changed: dict[bytes, None] = {}
        """The channels of which `_wanted` and `_subscribed` may differ, in the order in which they changed."""
        self._rejected: set[bytes] = set()
        """The channels that the node says belong to another one."""
        self._requests: deque[_Request] = deque()
        self._doubted: list[Subscription] = []
        """Confirmed again, and not reported to the receiver yet."""
        self._flush_scheduled = False
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self.link.start()

    async def close(self) -> None:
        await self.link.close()

    def add(self, subscription: Subscription) -> None:
        channel = subscription.channel
        self._wanted[channel] = subscription
        if self._confirmed.pop(channel, None) is not None:
            # A second subscription to a channel that is subscribed already.
            self._confirm(channel)
        else:
            self._change(channel)

    def remove(self, channel: bytes) -> None:
        self._wanted.pop(channel, None)
        self._confirmed.pop(channel, None)
        if channel in self._changed and channel not in self._subscribed:
            # Redis never heard of it. While it does not answer, clients may ask for ever new rooms.
            del self._changed[channel]
        else:
            self._change(channel)

    def probe_moved(self, old: bytes) -> None:
        """The probe has another channel than `old` now."""
        self._change(old)
        self._change(self._probe.channel.name)

    def retry(self) -> None:
        """Subscribe again to the channels that the node rejected: it may be responsible for them now."""
        rejected, self._rejected = self._rejected, set()
        for channel in rejected:
            self._change(channel)

    def _change(self, channel: bytes) -> None:
        self._changed[channel] = None
        if not self._flush_scheduled and not self._requests:
            self._flush_scheduled = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        """Send the next batch of changes, once Redis has confirmed the one before."""
        self._flush_scheduled = False
        if self._requests or self.link.state is not LinkState.UP:
            return
        subscribe: list[bytes] = []
        unsubscribe: list[bytes] = []
        while self._changed and len(subscribe) + len(unsubscribe) < _BATCH:
            channel = next(iter(self._changed))
            del self._changed[channel]
            wanted = channel in self._wanted or channel == self._probe.channel.name
            if wanted and channel in self._subscribed:
                # It was removed and added again before the batch went out.
                self._confirm(channel)
            elif wanted:
                subscribe.append(channel)
            elif channel in self._subscribed:
                unsubscribe.append(channel)
        self._subscribed.update(subscribe)
        self._subscribed.difference_update(unsubscribe)
        self._request(unsubscribe, subscribe=False)
        self._request(subscribe, subscribe=True)
        if self._requests:
            self._timer = self._loop.call_later(self._timeout, self._not_confirmed)

    def _request(self, channels: list[bytes], *, subscribe: bool) -> None:
        command = self._pubsub.subscribe if subscribe else self._pubsub.unsubscribe
        for group in by_slot(channels) if self._pubsub.one_slot else [channels]:
            if group:
                self._requests.append(_Request(group, subscribe=subscribe))
                self.link.write(pack(command, *group))

    def _not_confirmed(self) -> None:
        self.link.reconnect(f"no confirmation for {self._timeout:g} s", down=True)

    def received(self, reply: object) -> None:
        if isinstance(reply, list) and len(reply) == 3:
            kind, channel, data = reply
            if kind == self._pubsub.message:
                if self._doubted:
                    self._tell_doubted()
                subscription = self._confirmed.get(channel)
                if subscription is not None:
                    self._receiver.received(subscription, data)
                elif channel == self._probe.channel.name:
                    self._probe.received(data)
                return
            if kind == self._pubsub.subscribe or kind == self._pubsub.unsubscribe:
                self._confirmation(channel, subscribe=kind == self._pubsub.subscribe)
                return
        if isinstance(reply, ErrorReply):
            self._failed(reply)
        else:
            self.link.reconnect("the server sent a reply that no subscriber expects")

    def _confirmation(self, channel: bytes, *, subscribe: bool) -> None:
        request = self._requests[0] if self._requests else None
        if request is not None and request.subscribe is subscribe and request.channels[0] == channel:
            request.channels.popleft()
            if subscribe:
                self._confirm(channel)
            if not request.channels:
                self._request_done()
        elif not subscribe:
            # An unsubscription that was not requested: the slot has moved to another node.
            self._reject([channel])

    def _confirm(self, channel: bytes) -> None:
        """Redis has confirmed `channel`."""
        if channel == self._probe.channel.name:
            self._owner.listening()
        subscription = self._wanted.get(channel)
        if subscription is None or channel in self._confirmed:
            return
        self._confirmed[channel] = subscription
        if subscription.confirm():
            self._doubted.append(subscription)

    def _request_done(self) -> None:
        """The first request is answered; after the last one the next batch goes out."""
        self._requests.popleft()
        if self._requests:
            return
        self._stop_timer()
        self._tell_doubted()
        self._flush()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tell_doubted(self) -> None:
        doubted, self._doubted = self._doubted, []
        current = [one for one in doubted if self._confirmed.get(one.channel) is one]
        if current:
            self._receiver.doubted(current)

    def _failed(self, error: ErrorReply) -> None:
        if self._requests and error.kind in ("MOVED", "CLUSTERDOWN", "TRYAGAIN"):
            self._reject(self._requests[0].channels)
            self._request_done()
            return
        if error.kind == "NOPERM":
            self._report.connect_failed(Misconfigured(f"{error}; allow the Redis user our channels"))
        self.link.reconnect(str(error), down=True)

    def _reject(self, channels: Iterable[bytes]) -> None:
        """The node does not have these channels. They are not requested again before `retry`."""
        for channel in channels:
            self._subscribed.discard(channel)
            self._rejected.add(channel)
            subscription = self._confirmed.pop(channel, None)
            if subscription is not None:
                subscription.interrupt()
        self._report.topology_stale.set()

    def connected(self, incarnation: bytes) -> None:
        self._rejected.clear()
        self._changed = dict.fromkeys((self._probe.channel.name, *self._wanted))
        self._flush()

    def disconnected(self, reason: str) -> None:
        for subscription in self._confirmed.values():
            subscription.interrupt()
        self._confirmed.clear()
        self._doubted.clear()
        self._subscribed.clear()
        self._requests.clear()
        self._stop_timer()
        self._owner.not_listening(reason)

    def down(self) -> None:
        """There is nothing to settle: subscriptions wait for the next connection."""
