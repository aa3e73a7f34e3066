"""Follows the pods behind our Service, as the cluster lists them: one list, then a watch.

The client library can watch too, but its loop never rests: it would ask a server that ends watches at once as fast as
the server answers. Reading the pods never waits; the result says when they are not known.
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
"""Seconds without news from the cluster after which the pods count as unknown."""

SHORTEST_REST: Final = 1.0
LONGEST_REST: Final = 60.0
"""Seconds. Each rest is drawn between zero and a bound that doubles from the first value to the second, so that not all
pods meet an API server that comes back at once."""

LONGEST_RETRY_AFTER: Final = 300.0
"""Seconds up to which a Retry-After is respected: the answer may come from something else than an API server."""

WATCH: Final = (240, 300)
"""Seconds that a watch should last. Drawn, so that pods that started together do not ask together for ever."""

# A watch that lived for so many seconds makes the next rest a short one again.
_STABLE: Final = 10.0

# After so many failed rounds in a row we list again instead of resuming from our version: a server that was restored
# from a backup does not call a newer version gone, it waits for it.
_DOUBT: Final = 3


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A pod behind the Service."""

    name: str
    ready: bool
    terminating: bool
    """A pod can be ready and terminating where its Service publishes pods that are not ready."""


class Conditions(msgspec.Struct):
    ready: bool | None = None
    """A missing value means true, as the API defines it."""
    terminating: bool | None = None


class Target(msgspec.Struct):
    kind: str = ""
    name: str = ""


class Entry(msgspec.Struct, rename="camel"):
    """One endpoint of a slice."""

    conditions: Conditions | None = None
    target_ref: Target | None = None


class Metadata(msgspec.Struct, rename="camel"):
    name: str = ""
    resource_version: str = ""


class Slice(msgspec.Struct):
    """The fields of an EndpointSlice that we read. The rest is not decoded."""

    metadata: Metadata
    endpoints: list[Entry] | None = None


class Change(NamedTuple):
    """A change in a watch: `ADDED`, `MODIFIED`, `DELETED`, or `BOOKMARK`, whose slice holds only a version."""

    type: str
    slice: Slice


class SlicesGone(Exception):
    """The server no longer has the version that we asked for: 410."""


class Slices(Protocol):
    """The EndpointSlices of our Service."""

    async def list(self) -> tuple[Sequence[Slice], str]:
        """Return all slices and the version to watch from. Raises Unanswered and SlicesGone."""

    def watch(self, version: str, seconds: int) -> AbstractAsyncContextManager[AsyncIterator[Change]]:
        """Watch for changes after `version`, for `seconds`. Entered when the server has accepted the watch.

        Entering and iterating raise Unanswered and SlicesGone. The iterator ends when the server ends the watch.
        """


class Endpoints:
    def __init__(
        self, slices: Slices, rng: Callable[[float, float], float], count_fault: Callable[[str], None]
    ) -> None:
        """`rng`: returns a random number between two numbers. `count_fault`: called with the name of each fault.

        The names are the values of Cause, `gone` for a version that the server no longer has, and `brief` for a watch
        that ended at once.
        """
        self._loop = asyncio.get_running_loop()
        self._slices = slices
        self._rng = rng
        self._count_fault = count_fault
        self._version = ""
        self._known: dict[str, list[Endpoint]] | None = None
        """The endpoints of each slice, by the slice's name; None before the first list."""
        self._pods: tuple[Endpoint, ...] = ()
        self._news_at = 0.0
        self._opened: float | None = None
        """Loop time when the watch was accepted; None without a watch."""
        self._failures = 0
        """Rounds in a row without a stable watch."""
        self._logged: set[Cause] = set()
        """The causes that were logged in those rounds."""
        self.changed_at: float | None = None
        """Loop time of the last change of the pods; None before the first list."""

    def pods(self) -> Sequence[Endpoint] | None:
        """Return all endpoints sorted by name, ours among them; None where they are unknown or too old."""
        if self._known is None or (self._opened is None and self._loop.time() - self._news_at > STALE):
            return None
        return self._pods

    async def follow(self) -> None:
        """Keep the pods current until cancelled. An error of the cluster is logged, counted and waited out."""
        while True:
            error: Unanswered | None = None
            try:
                if not self._version or self._failures >= _DOUBT:
                    await self._list()
                await self._watch()
            except SlicesGone:
                self._version = ""
                self._count_fault("gone")
            except Unanswered as caught:
                error = caught
                self._count_fault(error.cause)
                self._log_once(error)
            await asyncio.sleep(self._rest(error))
            # Ten is far beyond the longest rest. Without a bound the power would grow to a huge number.
            self._failures = min(self._failures + 1, 10)

    async def _list(self) -> None:
        found, self._version = await self._slices.list()
        self._known = {each.metadata.name: _read(each) for each in found}
        self._update()

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
                self._news_at = self._loop.time()
                if stable:
                    self._failures = 0
                    self._logged.clear()
        if not stable:
            self._count_fault("brief")

    def _apply(self, change: Change) -> None:
        self._version = change.slice.metadata.resource_version or self._version
        if self._known is None or change.type == "BOOKMARK":
            return
        if change.type == "DELETED":
            self._known.pop(change.slice.metadata.name, None)
        else:
            self._known[change.slice.metadata.name] = _read(change.slice)
        self._update()

    def _update(self) -> None:
        self._news_at = self._loop.time()
        pods = _merged(endpoint for each in (self._known or {}).values() for endpoint in each)
        if pods != self._pods or self.changed_at is None:
            self._pods = pods
            self.changed_at = self._news_at

    def _rest(self, error: Unanswered | None) -> float:
        bound = min(LONGEST_REST, SHORTEST_REST * 2**self._failures)
        if error is None:
            return self._rng(0, bound)
        if error.cause in (Cause.DENIED, Cause.ABSENT):
            return self._rng(LONGEST_REST / 2, LONGEST_REST)
        return min(LONGEST_RETRY_AFTER, error.retry_after or 0.0) + self._rng(0, bound)

    def _log_once(self, error: Unanswered) -> None:
        if error.cause not in self._logged:
            self._logged.add(error.cause)
            log.warning(
                "cannot read the pods of the Service from the cluster", cause=error.cause.value, reason=str(error)
            )


def _read(found: Slice) -> list[Endpoint]:
    """Return the pods in a slice. Other endpoints cannot share our load."""
    return [
        Endpoint(entry.target_ref.name, conditions.ready is not False, conditions.terminating is True)
        for entry in found.endpoints or ()
        if entry.target_ref is not None and entry.target_ref.kind == "Pod"
        for conditions in (entry.conditions or Conditions(),)
    ]


def _merged(endpoints: Iterable[Endpoint]) -> tuple[Endpoint, ...]:
    """Return each pod once. It is in one slice for each address family, and in two while slices are rearranged."""
    pods: dict[str, Endpoint] = {}
    for each in endpoints:
        other = pods.get(each.name, each)
        pods[each.name] = Endpoint(each.name, each.ready or other.ready, each.terminating or other.terminating)
    return tuple(pods[name] for name in sorted(pods))
