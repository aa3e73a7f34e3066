"""Decides which new traces are kept, for every message and for nothing else: one random number."""

from collections.abc import Callable


class Sampler:
    def __init__(self, ratio: float, random: Callable[[], float]) -> None:
        """`ratio`: the share that is kept. `random` draws from 0 up to 1, without 1."""
        self._ratio = ratio
        self._random = random

    def kept(self) -> bool:
        """Decides whether to keep a new trace."""
        return self._random() < self._ratio
