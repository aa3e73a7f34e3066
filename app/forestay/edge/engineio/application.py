"""The application port of Engine.IO: what a session offers to an application, and what it asks of one.

The engine knows no Socket.IO. It carries the contents of message packets, in order and each once, and it alone decides
by which transport. An application is given each session that opens, and returns what listens to it.
"""

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Protocol

from aiohttp import web

from forestay.core.ports.verifier import Ticket
from forestay.core.rules.access import Identity
from forestay.edge.websocket.outlet import Outlet
from forestay.protocol.codes import Ending


class Session(Protocol):
    """One Engine.IO session, as an application uses it. Nothing here blocks or raises, but for `admit`."""

    @property
    def outlet(self) -> Outlet | None:
        """What `write` writes to as it is; None while that is no WebSocket."""

    def write(self, data: bytes, /) -> None:
        """Send finished WebSocket frames of a server: text frames that begin with a packet type, and binary frames.

        A polling session unpacks them, and keeps them for the next poll.
        """

    def buffered(self) -> int:
        """Bytes that were written and that the kernel, or a poll, has not taken yet."""

    def closed(self) -> bool:
        """Whether a write would be pointless: the session has ended, or its transport is broken."""

    def hold_reading(self) -> None:
        """Read nothing more from the client until it has taken what was written."""

    def end(self, ending: Ending, *, cut: bool = False) -> None:
        """Close the session after what was written: by a close frame, or by 400 to the pending poll.

        Nothing happens the second time. `cut`: a WebSocket is closed without a close frame, for clients that hear
        nothing of one. `Listener.lost` follows when the transport is gone.
        """

    def fail(self, reason: str) -> None:
        """End the session, because a packet is malformed: the reason goes to the log, at debug level, and no further.

        `Listener.end` follows at once.
        """

    async def admit(self, token: str | Ticket) -> Identity:
        """Identify a caller of this session. Raises Refused (`edge/handshake/admission`).

        The first one takes a place on the pod for the session; the session then has it until its end.
        """

    def served(self, *, served: bool) -> None:
        """Say whether a namespace of the session is connected.

        A session without one has 10 s, and counts as a handshake until its first one.
        """


class Listener(Protocol):
    """What takes the packets of one session. Nothing comes after `end`, but `lost`."""

    def text(self, data: str, /) -> Awaitable[None] | None:
        """Take the text of a message packet. Returns what must be awaited before the next packet is taken."""

    def binary(self, data: bytes, /) -> Awaitable[None] | None:
        """Take a binary message. Returns what must be awaited before the next packet is taken."""

    def end(self, ending: Ending, /) -> None:
        """The session ends: the client closes it, is silent, broke a rule, or met a bug.

        Write what is last, such as all that is pending. The engine then closes the session with `ending`. It is not
        called where the listener itself has called `Session.end`.
        """

    def lost(self, ending: Ending, /) -> None:
        """The session is gone: how the client or the network ended it, or 1006. Called once, at last."""


@dataclass(frozen=True, slots=True)
class Opening:
    """The request that opens a session. It is not kept: a polling session outlives it."""

    request: web.BaseRequest
    """Its origin is checked. It has the headers and the query, which may hold a token."""
    client: str | None
    """The address of the client, as the proxies that are trusted say it."""


class Application(Protocol):
    """What the sessions are for."""

    def opened(self, session: Session, opening: Opening, /) -> Listener:
        """Take a new session. Nothing may be written before this returns: the open packet comes first."""
