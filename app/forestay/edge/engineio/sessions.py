"""Keeps the Engine.IO sessions of this pod: finds them by their id, pings them, and ends those that nobody uses.

One timer serves all sessions. A session without a namespace has a short time, and counts as a handshake. Such sessions
together are bounded: the one that has waited longest goes for a new one, as in the lobby. An honest client connects its
namespace after one round trip.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from forestay.core.sessions.checks import Checks
from forestay.core.sessions.keepalive import check_life, next_check
from forestay.edge.engineio.session import EngineSession
from forestay.edge.handshake.admission import Attempt
from forestay.edge.log_throttle import LogThrottle
from forestay.protocol.codes import ABNORMAL_CLOSURE, ENDINGS, CloseCode, Ending
from forestay.protocol.engineio.packets import Times

SERVE_WITHIN: Final = 10.0
"""Seconds that a session has to connect its first namespace."""

_UNUSED: Final = Ending(CloseCode.NO_PONG, "no namespace was connected in time")
_CROWDED: Final = Ending(CloseCode.TRY_AGAIN_LATER, "too many sessions have no namespace")
_NOT_TAKEN: Final = Ending(ABNORMAL_CLOSURE, "the client did not take the end")


class EngineSessions:
    """The sessions of this pod."""

    def __init__(
        self, times: Times, close_timeout: float, most_unused: int, new_sid: Callable[[], str], serve_within: float
    ) -> None:
        """`close_timeout`: seconds that a client has to take its end. `most_unused`: sessions without a namespace.

        `new_sid`: returns a text that nobody can guess. `serve_within`: see SERVE_WITHIN.
        """
        self.loop = asyncio.get_running_loop()
        self.times = times
        self._close_timeout = close_timeout
        self._most_unused = most_unused
        self._new_sid = new_sid
        self._serve_within = serve_within
        self._by_sid: dict[str, EngineSession] = {}
        self._unused: dict[EngineSession, None] = {}
        """Those that never had a namespace, the oldest first."""
        self._checks: Checks[EngineSession] = Checks(self.loop, self._check)
        self._ended_early = LogThrottle("Socket.IO sessions without a namespace ended")

    def __len__(self) -> int:
        return len(self._by_sid)

    def find(self, sid: str) -> EngineSession | None:
        """The session with this id, which may have ended and wait for its client to take the end."""
        return self._by_sid.get(sid)

    def new(self, attempt: Attempt) -> EngineSession:
        """A session that is to be started at once. `attempt`: what it has taken; it gives it back when it is gone."""
        while len(self._unused) >= self._most_unused:
            oldest = next(iter(self._unused))
            self._ended_early.count("too many")
            oldest.stop(_CROWDED, at_once=True)
            self._unused.pop(oldest, None)
        session = EngineSession(self, self._new_sid(), attempt)
        self._by_sid[session.sid] = session
        self._unused[session] = None
        now = self.loop.time()
        session.serve_by, session.ping_at = now + self._serve_within, now + self.times.ping_interval
        self._plan(session)
        return session

    def served(self, session: EngineSession, *, served: bool) -> None:
        """See Session.served."""
        self._unused.pop(session, None)
        session.serve_by = None if served else self.loop.time() + self._serve_within
        self._plan(session)

    def ended(self, session: EngineSession) -> None:
        """See Keeper.ended."""
        self._unused.pop(session, None)
        self._checks.plan(session, self.loop.time() + self._close_timeout)

    def forget(self, session: EngineSession) -> None:
        """See Keeper.forget."""
        self._by_sid.pop(session.sid, None)
        self._unused.pop(session, None)
        self._checks.forget(session)

    async def close(self) -> None:
        """End all sessions, because the pod stops."""
        for session in list(self._by_sid.values()):
            session.stop(ENDINGS[CloseCode.GOING_AWAY])
        self._checks.close()

    def _plan(self, session: EngineSession) -> None:
        self._checks.plan(session, _earliest(session, next_check(session, self.times.ping_timeout)))

    def _check(self, session: EngineSession, now: float, late: float) -> float | None:
        """Do what is due for `session`. The time of the next check, or None where none is due."""
        if session.ending is not None:
            session.gone(_NOT_TAKEN)
            return None
        if session.serve_by is not None and session.serve_by <= now:
            self._ended_early.count("too late")
            session.stop(_UNUSED, at_once=True)
            return None
        at = self._check_life(session, now, late)
        return None if at is None else _earliest(session, at)

    def _check_life(self, session: EngineSession, now: float, late: float) -> float | None:
        at = check_life(session, now, late, self.times.ping_interval, self.times.ping_timeout)
        if at is None:
            session.stop(ENDINGS[CloseCode.NO_PONG])
        return at


def _earliest(session: EngineSession, at: float) -> float:
    return at if session.serve_by is None else min(at, session.serve_by)
