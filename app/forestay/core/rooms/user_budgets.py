"""Accounts for what users leave on the bus: each publish may cost a new room with history, and a key.

Only the bus knows whether a room is new. So each publish reserves one, and gets it back when the room was there. A user
whose budget is spent still publishes to rooms that exist.
"""

from asyncio import AbstractEventLoop

from forestay.core.ports.bus import Cause, Outcome, Settled, Settlement
from forestay.core.rules.budgets import NEW_ROOMS_PERIOD, Budgets, UserAmounts
from forestay.core.rules.policies import KEY_TTL
from forestay.protocol.codes import ErrorCode, Refusal


class UserBudgets:
    """The budgets of all users on this pod."""

    def __init__(self, loop: AbstractEventLoop, amounts: UserAmounts) -> None:
        self._loop = loop
        self._new_rooms = Budgets[str](amounts.new_rooms, NEW_ROOMS_PERIOD)
        self._keys = Budgets[str](amounts.keys, KEY_TTL)

    def begin(self, user: str, key: str | None, settled: Settled | None) -> tuple[Settled, bool]:
        """Reserve what a publish to a room with history may cost.

        Returns what takes the outcome in place of `settled`, and whether the room may be new. Raises Refusal.
        """
        now = self._loop.time()
        if key is not None and (wait := self._keys.spend(user, now)):
            message = "you have used too many keys in the last five minutes; wait, or publish without a key"
            raise Refusal(ErrorCode.RATE_LIMITED, message, retry_after=wait)
        wait = self._new_rooms.spend(user, now)

        def account(settlement: Settlement) -> None:
            outcome, position = settlement.outcome, settlement.position
            if key is not None and outcome is Outcome.REFUSED:
                self._keys.give_back(user, self._loop.time())
            if not wait and outcome is not Outcome.UNKNOWN and (position is None or position.offset != 1):
                self._new_rooms.give_back(user, self._loop.time())
            if settled is not None:
                settled(settlement._replace(retry_after=wait) if settlement.cause is Cause.NEW_ROOM else settlement)

        return account, not wait
