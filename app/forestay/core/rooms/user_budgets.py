"""Accounts for what users leave on the bus: each publish may cost a new room with history, and a key.

Only the bus knows whether a room is new. So each publish reserves one, and gets it back when the room was there. A user
whose budget is spent still publishes to rooms that exist.
"""

from asyncio import AbstractEventLoop

from forestay.core.ports.bus import Cause, Outcome, Settlement
from forestay.core.rules.budgets import NEW_ROOMS_PERIOD, Budgets, UserAmounts
from forestay.core.rules.policies import KEY_TTL
from forestay.protocol.codes import ErrorCode, Refusal


class UserBudgets:
    """The budgets of all users on this pod."""

    def __init__(self, loop: AbstractEventLoop, amounts: UserAmounts) -> None:
        self._loop = loop
        self._new_rooms = Budgets[str](amounts.new_rooms, NEW_ROOMS_PERIOD)
        self._keys = Budgets[str](amounts.keys, KEY_TTL)

    def begin(self, user: str, key: str | None) -> "Reservation":
        """Reserve what a publish to a room with history may cost. Raises Refusal."""
        now = self._loop.time()
        if key is not None and (wait := self._keys.spend(user, now)):
            message = "you have used too many keys in the last five minutes; wait, or publish without a key"
            raise Refusal(ErrorCode.RATE_LIMITED, message, retry_after=wait)
        return Reservation(self, user, self._new_rooms.spend(user, now), keyed=key is not None)

    def give_back(self, user: str, *, key: bool, room: bool) -> None:
        """Give back what was reserved and not used."""
        now = self._loop.time()
        if key:
            self._keys.give_back(user, now)
        if room:
            self._new_rooms.give_back(user, now)


class Reservation:
    """What one publish may cost its user: a new room, and a key."""

    __slots__ = ("_budgets", "_keyed", "_user", "_wait")

    def __init__(self, budgets: UserBudgets, user: str, wait: float, *, keyed: bool) -> None:
        """`wait`: seconds until the user may make a new room; 0 where one is reserved. `keyed`: whether a key is."""
        self._budgets = budgets
        self._user = user
        self._wait = wait
        self._keyed = keyed

    @property
    def create(self) -> bool:
        """Whether the room may be new."""
        return not self._wait

    def settle(self, settlement: Settlement) -> Settlement:
        """Give back what the publish did not cost. Returns what its sender is told."""
        outcome, position = settlement.outcome, settlement.position
        key = self._keyed and outcome is Outcome.REFUSED
        known = outcome is not Outcome.UNKNOWN and (position is None or position.offset != 1)
        room = known and not self._wait
        if key or room:
            self._budgets.give_back(self._user, key=key, room=room)
        return settlement._replace(retry_after=self._wait) if settlement.cause is Cause.NEW_ROOM else settlement
