"""Knows the pods behind our Service, and follows them only while they are needed."""

import asyncio
from collections.abc import Sequence

from forestay.core.ports.tasks import Tasks
from forestay.ops.health.quorum import Peer
from forestay.ops.kubernetes.endpoints import Endpoints


class Neighbourhood:
    """The cluster's list of pods, in the form that readiness and balance ask for."""

    def __init__(self, endpoints: Endpoints, tasks: Tasks, *, always: bool) -> None:
        """`always`: once woken, follow them until `close`, for balance needs them at all times."""
        self._endpoints = endpoints
        self._tasks = tasks
        self._always = always
        self._following: asyncio.Task[None] | None = None

    def wake(self) -> None:
        if self._following is None:
            self._following = self._tasks.keep("kubernetes_watch", self._endpoints.follow)

    def rest(self) -> None:
        if not self._always:
            self.close()

    def close(self) -> None:
        if self._following is not None:
            self._following.cancel()
            self._following = None

    @property
    def changed_at(self) -> float | None:
        """Loop time of the last change; None where none is known."""
        return self._endpoints.changed_at

    def leaving(self) -> bool:
        """Whether a pod terminates."""
        return any(one.terminating for one in self._endpoints.pods() or ())

    def pods(self) -> Sequence[Peer] | None:
        """All pods that do not terminate; None where they are not known."""
        if self._following is None:
            return None
        known = self._endpoints.pods()
        return None if known is None else [Peer(one.name, one.ready) for one in known if not one.terminating]
