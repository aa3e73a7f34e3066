"""The pods behind our Service, for whoever has to know them: followed only while somebody has."""

import asyncio
from collections.abc import Sequence

from forestay.ops.health.quorum import Peer
from forestay.ops.kubernetes.endpoints import Endpoints


class Neighbourhood:
    """What the cluster's list says, as a readiness asks for it."""

    def __init__(self, endpoints: Endpoints, *, always: bool) -> None:
        """`always`: somebody has to know them in peace too."""
        self._endpoints = endpoints
        self._always = always
        self._following: asyncio.Task[None] | None = None

    def wake(self) -> None:
        if self._following is None:
            self._following = asyncio.create_task(self._endpoints.follow())

    def rest(self) -> None:
        if not self._always:
            self.close()

    def close(self) -> None:
        if self._following is not None:
            self._following.cancel()
            self._following = None

    @property
    def changed_at(self) -> float | None:
        """Loop time of the last change; None where nobody knows."""
        return self._endpoints.changed_at

    def leaving(self) -> bool:
        """Whether somebody is on the way out."""
        return any(one.terminating for one in self._endpoints.fleet() or ())

    def fleet(self) -> Sequence[Peer] | None:
        """Those that are not on their way out; None where nobody knows."""
        if self._following is None:
            return None
        known = self._endpoints.fleet()
        return None if known is None else [Peer(one.name, one.ready) for one in known if not one.terminating]
