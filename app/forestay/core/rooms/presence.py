"""Who is in a room, on all pods: what this pod tells the registry of its own members, and the answer to who asks.

The registry knows users, a pod counts their connections. A user whose connection ended stays for a grace, so that a
reconnect is no news; one who leaves, leaves at once.
"""

from asyncio import Future, TimerHandle
from collections.abc import Iterable
from typing import Final

from msgspec import Raw
from msgspec.json import encode as to_json

from forestay.core.ports.bus import Bus, BusLost, Outcome, Unavailable
from forestay.core.ports.registry import Member, PresencePage, Registry
from forestay.core.ports.runtime import Runtime
from forestay.core.rules.access import Identity
from forestay.core.rules.policies import Policies
from forestay.protocol.message import Kind, Message, timestamp
from forestay.protocol.names import RoomName

FIRST_PAGE: Final = 100
"""Users that `joined` shows."""


class _Stay:
    """One user in one room of this pod."""

    __slots__ = ("asked", "connections", "farewell", "info", "told", "waiting")

    def __init__(self) -> None:
        self.connections = 0
        self.info: bytes | None = None
        self.farewell: TimerHandle | None = None
        self.told = True
        """Whether the registry has what we said last."""
        self.asked = 0
        """What was said and not answered yet."""
        self.waiting: list[Future[None]] = []

    @property
    def counted(self) -> int:
        """Connections as the registry is told: one that may come back is still there."""
        return self.connections or int(self.farewell is not None)

    def release_waiting(self) -> None:
        waiting, self.waiting = self.waiting, []
        for known in waiting:
            if not known.done():
                known.set_result(None)


class Presence:
    def __init__(self, runtime: Runtime, bus: Bus, registry: Registry, policies: Policies, grace: float) -> None:
        """`grace`: seconds for which a user whose connection ended is still there."""
        self._runtime = runtime
        self._bus = bus
        self._registry = registry
        self._policies = policies
        self._grace = grace
        self._rooms: dict[RoomName, dict[str, _Stay]] = {}
        self._stays = 0

    def __len__(self) -> int:
        """Users in rooms with presence, each counted once per room."""
        return self._stays

    def enter(self, room: RoomName, identity: Identity) -> None:
        """One connection more of that user is in `room`."""
        stay = self._stay(room, identity.user)
        if stay.farewell is not None:
            stay.farewell.cancel()
            stay.farewell = None
        stay.connections += 1
        stay.info = identity.info
        self._tell(room, identity.user, stay)

    def leave(self, room: RoomName, user: str, *, grace: bool) -> None:
        """One connection less of `user` is in `room`; with `grace` the last one may be about to come back."""
        stay = self._rooms[room][user]
        stay.connections -= 1
        if stay.connections:
            self._tell(room, user, stay)
        elif grace and self._grace:
            stay.farewell = self._runtime.loop.call_later(self._grace, self._expire, room, user, stay)
        else:
            self._tell(room, user, stay)

    async def told(self, room: RoomName, user: str) -> None:
        """Wait until the registry knows of `user` in `room`, or will not for now."""
        stay = self._rooms.get(room, {}).get(user)
        if stay is not None and stay.asked:
            known: Future[None] = self._runtime.loop.create_future()
            stay.waiting.append(known)
            await known

    async def presence_page(self, room: RoomName, after: str | None, limit: int) -> PresencePage:
        """One page of who is there. Raises Refusal."""
        try:
            return await self._registry.presence_page(room, after, limit)
        except BusLost:
            raise Unavailable from None

    def correct(self, believed: Iterable[tuple[RoomName, str]]) -> None:
        """Tell the registry everything; of what it believes of this pod, take back what is not so."""
        for room, user in believed:
            stay = self._stay(room, user)
            stay.told = False
        self.renew(all_of_it=True)

    def renew(self, *, all_of_it: bool = False) -> None:
        """Tell the registry again what it did not take, or everything."""
        for room, stays in list(self._rooms.items()):
            for user, stay in list(stays.items()):
                if all_of_it or not stay.told:
                    self._tell(room, user, stay)

    def mourn(self, room: RoomName, user: str) -> None:
        """A user has left with the last pod that had it: that pod will not say so."""
        farewell = self._news(room, user, None, here=False)
        if farewell is not None:
            self._bus.publish(farewell)

    def close(self, *, alone: bool) -> None:
        """The pod is going. Where it is `alone`, nobody else would tell that its users have left."""
        for room, stays in list(self._rooms.items()):
            for user, stay in list(stays.items()):
                if stay.farewell is not None:
                    stay.farewell.cancel()
                    stay.farewell = None
                if alone:
                    stay.connections = 0
                    self._tell(room, user, stay)

    def _expire(self, room: RoomName, user: str, stay: _Stay) -> None:
        stay.farewell = None
        self._tell(room, user, stay)

    def _tell(self, room: RoomName, user: str, stay: _Stay) -> None:
        counted = stay.counted
        stay.told = False
        stay.asked += 1

        def settled(outcome: Outcome) -> None:
            done = outcome is Outcome.ACCEPTED
            stay.told = done
            stay.asked -= 1
            if done and not counted and not stay.counted:
                self._forget(room, user, stay)
            if not stay.asked:
                stay.release_waiting()

        self._registry.put(
            Member(user, counted, stay.info), room, self._news(room, user, stay.info, here=counted > 0), settled
        )

    def _stay(self, room: RoomName, user: str) -> _Stay:
        stays = self._rooms.setdefault(room, {})
        stay = stays.get(user)
        if stay is None:
            stay = stays[user] = _Stay()
            self._stays += 1
        return stay

    def _forget(self, room: RoomName, user: str, stay: _Stay) -> None:
        stays = self._rooms.get(room)
        if stays is not None and stays.get(user) is stay:
            del stays[user]
            self._stays -= 1
            if not stays:
                del self._rooms[room]

    def _news(self, room: RoomName, user: str, info: bytes | None, *, here: bool) -> Message | None:
        if not self._policies.of(room).join_leave:
            return None
        return news(room, user, info, Kind.USER_JOINED if here else Kind.USER_LEFT, self._runtime.clock())


def news(room: RoomName, user: str, info: bytes | None, kind: Kind, now: float) -> Message:
    """What a room hears of somebody who came or went."""
    return Message(room, to_json(described(user, info)), timestamp(int(now * 1000)), sender=user, kind=kind)


def described(user: str, info: bytes | None) -> dict[str, object]:
    return {"user": user} if info is None else {"user": user, "info": Raw(info)}


def paged(roll: PresencePage) -> dict[str, object]:
    """A page of presence as a payload."""
    members = [described(one.user, one.info) | {"connections": one.connections} for one in roll.members]
    payload: dict[str, object] = {"count": roll.connections, "users": roll.users, "members": members}
    if roll.more:
        payload["next"] = roll.members[-1].user
    return payload
