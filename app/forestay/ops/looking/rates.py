"""Computes how many messages a second come and go, from the numbers of the core over the last ten seconds."""

import asyncio
from collections import deque
from time import perf_counter
from typing import Final

from forestay.core.facts.traffic import Traffic
from forestay.core.ports.operating import Rates

_INTERVAL: Final = 2.0
# A new pod has its first rates after so many seconds.
_FIRST: Final = 0.5
_SAMPLES: Final = 6
"""Ten seconds have five intervals, and these have six ends."""

_Sample = tuple[float, int, int, int, int, int]
"""The time, and the numbers in the order of Rates."""


class RecentRates:
    """Looks at the numbers every two seconds, whether anybody asks or not."""

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic
        self._samples: deque[_Sample] = deque(maxlen=_SAMPLES)

    async def watch(self) -> None:
        """Look until cancelled."""
        while True:
            self.note(perf_counter())
            await asyncio.sleep(_INTERVAL if len(self._samples) > 1 else _FIRST)

    def note(self, now: float) -> None:
        """Look at the numbers. `now`: any monotonic clock, in seconds."""
        traffic = self._traffic
        received, accepted = sum(traffic.received.values()), traffic.accepted.count
        self._samples.append(
            (now, received, traffic.received_bytes, accepted, traffic.deliveries, traffic.written_bytes)
        )

    @property
    def rates(self) -> Rates | None:
        """The rates between the oldest and the newest look; None before there are two."""
        if len(self._samples) < 2:
            return None
        old, new = self._samples[0], self._samples[-1]
        seconds = new[0] - old[0]
        received, received_bytes, published, delivered, written_bytes = [
            round((after - before) / seconds, 3) for after, before in zip(new[1:], old[1:], strict=True)
        ]
        return Rates(
            seconds=round(seconds, 3),
            received=received,
            received_bytes=received_bytes,
            published=published,
            delivered=delivered,
            written_bytes=written_bytes,
        )
