"""Positions: places in the history of a room."""

from msgspec import Struct


class Position(Struct, frozen=True):
    """A place in the history of a room. Offsets have no gaps within an epoch, and cannot be compared across epochs."""

    epoch: str
    offset: int
