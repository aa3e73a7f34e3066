"""Presence: tells the registry which users of this pod are in which room, and reads who is there on all pods.

The registry knows users; this pod counts their connections. A user whose connection ended stays present for a grace
period, so that a reconnect is not announced. A user that leaves a room is gone at once.
"""

from asyncio import Future, TimerHandle
from collections.abc import Iterable
from typing import Final

from msgspec.json import encode as to_json

from forestay.core.ports.bus import PAGE_BYTES, Bus, BusLost, Outcome, Unavailable
from forestay.core.ports.registry import Registry
from forestay.core.ports.runtime import Runtime
from forestay.core.rooms.webhook_events import WebhookEvents
from forestay.core.rules.access import Identity
from forestay.core.rules.budgets import NEWS_BURST, NEWS_PERIOD, Budgets
from forestay.core.rules.policies import Policies
from forestay.protocol.message import Kind, Message
from forestay.protocol.names import RoomName, online_room, user_online
from forestay.protocol.presence import Member, PresencePage, user_fields
from forestay.protocol.timestamps import Stamps

DOUBTED: Final = 7.0
"""Seconds for which pages are degraded after a sign that the registry missed something.

With its next heartbeat, after 5 seconds at most, each pod registers again what was not taken.
"""

FIRST_PAGE: Final = 100
"""Users that the `joined` reply shows."""


class PresenceEntry:
    """One user in one room, by the connections of this pod."""

    __slots__ = ("announced", "connections", "grace", "in_flight", "info", "registered", "waiting")

    def __init__(self) -> None:
        self.connections = 0
        self.info: bytes | None = None
        self.grace: TimerHandle | None = None
        """Removes the user when it fires. None while it has a connection, or is gone."""
        self.registered = True
        """Whether the registry has the latest number."""
        self.announced = False
        """Whether the registry has had the user here, so that the members know of it."""
        self.in_flight = 0
        """Updates that the registry has not answered yet."""
        self.waiting: list[Future[None]] = []

    @property
    def counted(self) -> int:
        """Connections as the registry counts them. In the grace period there is still one."""
        return self.connections or int(self.grace is not None)

    def cancel_grace(self) -> None:
        """End the grace period: the user has a connection again, or its removal is under way."""
        if self.grace is not None:
            self.grace.cancel()
            self.grace = None

    def answered(self) -> None:
        """Note that the registry has answered one update."""
        self.in_flight -= 1
        if not self.in_flight:
            waiting, self.waiting = self.waiting, []
            for known in waiting:
                if not known.done():
                    known.set_result(None)


class Presence:
    """The users of this pod in rooms with presence."""

    def __init__(self, runtime: Runtime, bus: Bus, registry: Registry, policies: Policies, grace: float) -> None:
        """`grace`: seconds for which a user whose connection ended stays present."""
        self._runtime = runtime
        self._stamps = Stamps(runtime.clock)
        self._bus = bus
        self._registry = registry
        self._policies = policies
        self._grace = grace
        self._events = WebhookEvents(runtime, policies)
        self._news_budgets = Budgets[RoomName](NEWS_BURST, NEWS_PERIOD)
        self._rooms: dict[RoomName, dict[str, PresenceEntry]] = {}
        self._entries = 0
        self._doubted_until = 0.0
        """The loop's time until which pages are degraded."""

    def __len__(self) -> int:
        """Users in rooms, each counted once for each room."""
        return self._entries

    def enter(self, room: RoomName, identity: Identity) -> None:
        """Count one more connection of this user in `room`."""
        self._enter(room, identity.user, identity.info)

    def connected(self, user: str) -> None:
        """Count one more connection of `user` to the gateway, where it is told that users come online."""
        if self._events.users:
            self._enter(online_room(user), user, None)

    def disconnected(self, user: str) -> None:
        """Count one connection of `user` to the gateway less. The user may come back for the grace period."""
        if self._events.users:
            self.leave(online_room(user), user, grace=True)

    def _enter(self, room: RoomName, user: str, info: bytes | None) -> None:
        entry = self._entry(room, user)
        came = not entry.counted
        entry.cancel_grace()
        entry.connections += 1
        entry.info = info
        self._register(room, user, entry, told=not came or self._may_tell(room))

    def leave(self, room: RoomName, user: str, *, grace: bool) -> None:
        """Count one connection of `user` in `room` less. With `grace` the user may come back for a while."""
        entry = self._rooms[room][user]
        entry.connections -= 1
        if not entry.connections and grace and self._grace:
            entry.grace = self._runtime.loop.call_later(self._grace, self._expire, room, user, entry)
        else:
            self._register(room, user, entry, told=bool(entry.connections) or self._may_tell(room))

    def forget(self, user: str) -> None:
        """End the grace periods of `user` in all rooms: it is gone from those in which it has no connection."""
        for room, entries in list(self._rooms.items()):
            entry = entries.get(user)
            if entry is not None and entry.grace is not None:
                entry.cancel_grace()
                self._expire(room, user, entry)

    async def registered(self, room: RoomName, user: str) -> None:
        """Wait until the registry has answered all updates about `user` in `room`."""
        entry = self._rooms.get(room, {}).get(user)
        if entry is not None and entry.in_flight:
            known: Future[None] = self._runtime.loop.create_future()
            entry.waiting.append(known)
            await known

    async def page(self, room: RoomName, after: str | None, limit: int, max_bytes: int = PAGE_BYTES) -> PresencePage:
        """At most `limit` users in `room` on all pods, in `max_bytes`, those after the user `after`.

        Raises Refusal.
        """
        try:
            page = await self._registry.presence_page(room, after, limit, max_bytes)
        except BusLost:
            raise Unavailable from None
        if page.degraded:
            self.doubt()
        elif self._runtime.loop.time() < self._doubted_until:
            return PresencePage(page.connections, page.users, page.members, page.more, degraded=True)
        return page

    def doubt(self) -> None:
        """Call pages degraded for a while: the registry may have missed who came or left, on this pod or others."""
        self._doubted_until = self._runtime.loop.time() + DOUBTED

    def correct(self, believed: Iterable[tuple[RoomName, str]], *, silently: bool = False) -> None:
        """Send all entries of this pod to the registry, and remove those that the registry wrongly has.

        `silently`: the registry forgot users who are here, and the members know of them already.
        """
        for room, user in believed:
            self._entry(room, user).registered = False
        self.renew(everything=True, silently=silently)

    def renew(self, *, everything: bool = False, silently: bool = False) -> None:
        """Send to the registry again what it did not accept, or everything."""
        for room, entries in list(self._rooms.items()):
            for user, entry in list(entries.items()):
                if everything or not entry.registered:
                    self._register(room, user, entry, silently=silently and entry.announced)

    def announce_leave(self, room: RoomName, user: str) -> None:
        """Tell the members of `room` that `user` left, because its pod is gone and cannot do so."""
        news = self._news(room, user, None, here=False)
        if news is not None:
            self._bus.publish(news)

    def vacated(self, room: RoomName) -> bytes | None:
        """The event for the case that the last user of `room` was on a pod that is gone; None where none is told."""
        return self._events.presence(room, here=False)

    def close(self, *, last_pod: bool) -> None:
        """Stop, because the pod stops. `last_pod`: no other pod is there to announce that its users left."""
        for room, entries in list(self._rooms.items()):
            for user, entry in list(entries.items()):
                entry.cancel_grace()
                if last_pod:
                    entry.connections = 0
                    self._register(room, user, entry)

    def _expire(self, room: RoomName, user: str, entry: PresenceEntry) -> None:
        entry.grace = None
        self._register(room, user, entry, told=self._may_tell(room))

    def _may_tell(self, room: RoomName) -> bool:
        """Whether the members of `room` may be told of one more user that came or went. They are told so many."""
        return not self._has_news(room) or not self._news_budgets.spend(room, self._runtime.loop.time())

    def _register(
        self, room: RoomName, user: str, entry: PresenceEntry, *, silently: bool = False, told: bool = True
    ) -> None:
        """Tell the registry how many connections of `user` are in `room` on this pod.

        `silently`: the members are not told that the user is here. `told`: they are told what changes.
        """
        counted = entry.counted
        entry.registered = False
        entry.in_flight += 1

        def settled(outcome: Outcome) -> None:
            accepted = outcome is Outcome.ACCEPTED
            entry.registered = accepted
            if accepted:
                entry.announced = counted > 0
            else:
                self.doubt()
            entry.answered()
            # A later update that is still unanswered may fail. It is repeated only while the entry is here.
            if accepted and not counted and not entry.counted and not entry.in_flight:
                self._forget(room, user, entry)

        news = event = None
        if not (silently and counted):
            news = self._news(room, user, entry.info, here=counted > 0) if told else None
            event = self._events.presence(room, here=counted > 0)
        self._registry.put(Member(user, counted, entry.info), room, news, settled, event)

    def _entry(self, room: RoomName, user: str) -> PresenceEntry:
        entries = self._rooms.setdefault(room, {})
        entry = entries.get(user)
        if entry is None:
            entry = entries[user] = PresenceEntry()
            self._entries += 1
        return entry

    def _forget(self, room: RoomName, user: str, entry: PresenceEntry) -> None:
        entries = self._rooms.get(room)
        if entries is not None and entries.get(user) is entry:
            del entries[user]
            self._entries -= 1
            if not entries:
                del self._rooms[room]

    def _has_news(self, room: RoomName) -> bool:
        """Whether the members of `room` are told who comes and goes. A room of a user's connections has no members."""
        return self._policies.of(room).join_leave and user_online(room) is None

    def _news(self, room: RoomName, user: str, info: bytes | None, *, here: bool) -> Message | None:
        """The news for the members of `room`; None where its policy has no `join_leave`."""
        if not self._has_news(room):
            return None
        kind = Kind.USER_JOINED if here else Kind.USER_LEFT
        return Message(room, to_json(user_fields(user, info)), self._stamps.now(), sender=user, kind=kind)
