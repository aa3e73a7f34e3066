"""Keeps the answers to a list of joins in the order of the list.

The joins start together, so that the bus is asked for all rooms at once. Each is completed when its turn comes.
"""

from collections.abc import Callable


class Turns:
    """The places of one list."""

    def __init__(self) -> None:
        self._next = 0
        self._waiting: dict[int, Callable[[], None]] = {}
        self._running = False

    def is_next(self, place: int) -> bool:
        """Whether all places before `place` are done."""
        return place == self._next

    def take(self, place: int, act: Callable[[], None]) -> None:
        """Call `act` when all places before `place` are done: now, or later."""
        if place == self._next:
            act()
        else:
            self._waiting[place] = act

    def done(self, place: int) -> None:
        """The place `place` was answered. The next one has its turn."""
        if place != self._next:
            return
        self._next += 1
        if self._running:
            return
        # A loop, because one answer leads to the next: a list may be long, and the stack is not.
        self._running = True
        try:
            while (act := self._waiting.pop(self._next, None)) is not None:
                act()
        finally:
            self._running = False


class Turn:
    """One place of a list."""

    __slots__ = ("_place", "_turns")

    def __init__(self, turns: Turns, place: int) -> None:
        self._turns = turns
        self._place = place

    @property
    def has_come(self) -> bool:
        """Whether all places before this one are answered."""
        return self._turns.is_next(self._place)

    def wait(self, act: Callable[[], None]) -> None:
        """Call `act` when the turn has come. It replaces what waits for this turn so far."""
        self._turns.take(self._place, act)

    def answer(self, act: Callable[[], None]) -> None:
        """Call `act`, which is the answer, when the turn has come, and let the next place have its turn."""

        def answer() -> None:
            act()
            self._turns.done(self._place)

        self._turns.take(self._place, answer)
