"""Who else serves behind our Service, as the cluster sees it: listed once, watched from then on.

The client library can watch too, but its loop has no rest in it: a server that ends watches at once would be asked
as fast as it can answer. Whoever looks at the fleet never waits, and is told when nobody knows.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

import msgspec
import structlog

from forestay.ops.kubernetes.unanswered import Cause, Unanswered

log = structlog.get_logger(__name__)

STALE: Final = 30.0
"""Seconds without a sign of the cluster after which nobody knows the fleet."""

SHORTEST_REST: Final = 1.0
LONGEST_REST: Final = 60.0
"""Seconds. Rests are drawn between nothing and a bound that doubles from the one to the other: an API server that comes
back is not met by all pods at once."""

LONGEST_PATIENCE: Final = 300.0
"""Seconds that a Retry-After is believed: what answers need not be an API server."""

WATCH: Final = (240, 300)
"""Seconds that a watch is asked to last, drawn so that pods that started together do not stay together."""

# Seconds that a watch must have lived for the next rest to be a short one again.
_STABLE: Final = 10.0

# Rounds in a row that came to nothing, after which the version that we resume from is doubted too: a server that was
# restored from a backup does not call it gone, it waits for it.
_DOUBT: Final = 3


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A pod behind the Service."""

    name: str
    ready: bool
    terminating: bool
    """A pod may be both where its Service publishes pods that are not ready."""


class Conditions(msgspec.Struct):
    ready: bool | None = None
    """Not said means true: so the API defines it."""
    terminating: bool | None = None


class Target(msgspec.Struct):
    kind: str = ""
    name: str = ""


class Entry(msgspec.Struct, rename="camel"):
    """One line of a slice."""

    conditions: Conditions | None = None
    target_ref: Target | None = None


class Metadata(msgspec.Struct, rename="camel"):
    name: str = ""
    resource_version: str = ""


class Slice(msgspec.Struct):
    """What we read of an EndpointSlice; the rest of it is never made into objects."""

    metadata: Metadata
    endpoints: list[Entry] | None = None


class Change(NamedTuple):
    """What a watch says: `ADDED`, `MODIFIED`, `DELETED`, or `BOOKMARK`, whose slice is nothing but a version."""

    type: str
    slice: Slice


class SlicesGone(Exception):
    """The server no longer knows the version that was asked for: 410."""


class Slices(Protocol):
    """The EndpointSlices of our Service."""

    async def list(self) -> tuple[Sequence[Slice], str]:
        """All of them, and the version to watch from. Raises Unanswered and SlicesGone."""

    def watch(self, version: str, seconds: int) -> AbstractAsyncContextManager[AsyncIterator[Change]]:
        """Changes after `version`, for so many seconds. Entered when the server has agreed to tell them.

        Entering and iterating raise Unanswered and SlicesGone; an iterator that ends was ended by the server.
        """


class Endpoints:
    def __init__(self, slices: Slices, rng: Callable[[float, float], float], told: Callable[[str], None]) -> None:
        """`rng` gives a number between two; `told` hears of each fault by name.

        The names are those of a Cause, `gone` for a version that is, and `brief` for a watch that was ended at once.
        """
        self._loop = asyncio.get_running_loop()
        self._slices = slices
        self._rng = rng
        self._told = told
        self._version = ""
        self._known: dict[str, list[Endpoint]] | None = None
        """What each slice says, by its name; None until one list was read."""
        self._fleet: tuple[Endpoint, ...] = ()
        self._heard = 0.0
        self._opened: float | None = None
        """When the watch was agreed to; None while there is none."""
        self._failures = 0
        """Rounds in a row without a watch that lived for a while."""
        self._complaints: set[Cause] = set()
        """What was logged in those rounds."""
        self.changed_at: float | None = None
        """Loop time of the last change of the fleet; None until one is known."""

    def fleet(self) -> Sequence[Endpoint] | None:
        """All endpoints by name, ours among them; None where that is not known or was not heard of for too long."""
        if self._known is None or (self._opened is None and self._loop.time() - self._heard > STALE):
            return None
        return self._fleet

    async def follow(self) -> None:
        """Keep the fleet current until cancelled. Raises nothing: without a cluster there is only nothing to know."""
        while True:
            error: Unanswered | None = None
            try:
                if not self._version or self._failures >= _DOUBT:
                    await self._list()
                await self._watch()
            except SlicesGone:
                self._version = ""
                self._told("gone")
            except Unanswered as caught:
                error = caught
                self._told(error.cause)
                self._complain(error)
            await asyncio.sleep(self._rest(error))
            # Far beyond the longest rest; a power without end would become a large number to compute.
            self._failures = min(self._failures + 1, 10)

    async def _list(self) -> None:
        found, self._version = await self._slices.list()
        self._known = {each.metadata.name: _read(each) for each in found}
        self._learnt()

    async def _watch(self) -> None:
        seconds = round(self._rng(*WATCH))
        async with self._slices.watch(self._version, seconds) as changes:
            self._opened = self._loop.time()
            try:
                async for change in changes:
                    self._apply(change)
            finally:
                stable = self._loop.time() - self._opened >= _STABLE
                self._opened = None
                self._heard = self._loop.time()
                if stable:
                    self._failures = 0
                    self._complaints.clear()
        if not stable:
            self._told("brief")

    def _apply(self, change: Change) -> None:
        self._version = change.slice.metadata.resource_version or self._version
        if self._known is None or change.type == "BOOKMARK":
            return
        if change.type == "DELETED":
            self._known.pop(change.slice.metadata.name, None)
        else:
            self._known[change.slice.metadata.name] = _read(change.slice)
        self._learnt()

    def _learnt(self) -> None:
        self._heard = self._loop.time()
        fleet = _merged(endpoint for each in (self._known or {}).values() for endpoint in each)
        if fleet != self._fleet or self.changed_at is None:
            self._fleet = fleet
            self.changed_at = self._heard

    def _rest(self, error: Unanswered | None) -> float:
        bound = min(LONGEST_REST, SHORTEST_REST * 2**self._failures)
        if error is None:
            return self._rng(0, bound)
        if error.cause in (Cause.DENIED, Cause.ABSENT):
            return self._rng(LONGEST_REST / 2, LONGEST_REST)
        return min(LONGEST_PATIENCE, error.retry_after or 0.0) + self._rng(0, bound)

    def _complain(self, error: Unanswered) -> None:
        if error.cause not in self._complaints:
            self._complaints.add(error.cause)
            log.warning("the cluster does not say who else serves", cause=error.cause.value, reason=str(error))


def _read(found: Slice) -> list[Endpoint]:
    """The pods in a slice. What is no pod is nobody who could share our load."""
    return [
        Endpoint(entry.target_ref.name, conditions.ready is not False, conditions.terminating is True)
        for entry in found.endpoints or ()
        if entry.target_ref is not None and entry.target_ref.kind == "Pod"
        for conditions in (entry.conditions or Conditions(),)
    ]


def _merged(endpoints: Iterable[Endpoint]) -> tuple[Endpoint, ...]:
    """Each pod once: it stands in one slice per address family, and while slices are rearranged in two of the same."""
    pods: dict[str, Endpoint] = {}
    for each in endpoints:
        other = pods.get(each.name, each)
        pods[each.name] = Endpoint(each.name, each.ready or other.ready, each.terminating or other.terminating)
    return tuple(pods[name] for name in sorted(pods))
