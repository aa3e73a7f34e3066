"""Tickets: a client that cannot send its token with a request to connect gets one for it first.

A ticket stands for a verified identity. It opens one connection, on any pod, within `TICKET_SECONDS`. An event stream
comes back by itself with the URL that it had, so its ticket stays. But that takes a secret which only its events have.
"""

from collections.abc import Awaitable
from hashlib import blake2b
from typing import Final

import msgspec
from msgspec import Raw, Struct

from forestay.core.cluster.revocations import Revocations
from forestay.core.ports.bus import BusLost, Unavailable
from forestay.core.ports.registry import Registry
from forestay.core.ports.runtime import Runtime
from forestay.core.ports.verifier import Ticket, Verifier
from forestay.core.rules.access import Identity, Rights
from forestay.protocol.codes import ErrorCode, Refusal

TICKET_SECONDS: Final = 30.0
"""Seconds within which a ticket must be used."""

# Characters of the longest text that is looked up.
_LONGEST: Final = 64


# Stands for what the identity does not have.
_NOTHING: Final = Raw(b"null")


class _Held(Struct, frozen=True):
    """An identity as the registry holds it. The token itself is not kept."""

    user: str
    rooms: dict[str, str]
    expires_at: float
    token_id: str | None = None
    issued_at: float | None = None
    info: Raw = _NOTHING
    claims: Raw = _NOTHING


_decode = msgspec.json.Decoder(_Held).decode


class Tickets:
    """Issues tickets, and identifies callers by them or by their tokens."""

    def __init__(self, runtime: Runtime, registry: Registry, verifier: Verifier, revocations: Revocations) -> None:
        """`verifier`: of tokens; it refuses those that are revoked."""
        self._clock = runtime.clock
        self._new_id = runtime.new_id
        self._registry = registry
        self._verifier = verifier
        self._revocations = revocations

    async def issue(self, identity: Identity) -> tuple[str, float]:
        """A ticket for `identity`, and the seconds within which it must be used. Raises Refusal."""
        # Two ids: one alone has too few bits for a secret.
        text = self.new_secret()
        left = identity.expires_at - self._clock()
        if left <= 0:
            raise Refusal(ErrorCode.BAD_TOKEN, "the token expired: get a new one")
        seconds = min(TICKET_SECONDS, left)
        try:
            await self._registry.keep_ticket(_name(text), _encode(identity), seconds, left)
        except BusLost as lost:
            raise Unavailable.because(lost) from None
        return text, seconds

    def new_secret(self) -> str:
        """A text that nobody can guess, of 24 characters."""
        return self._new_id() + self._new_id()

    def verify(self, shown: str | Ticket, /) -> Awaitable[Identity]:
        """See Identifier.verify."""
        return self._redeem(shown) if isinstance(shown, Ticket) else self._verifier.verify(shown)

    async def _redeem(self, ticket: Ticket) -> Identity:
        held = None
        if 0 < len(ticket.text) <= _LONGEST:
            try:
                held = await self._registry.use_ticket(_name(ticket.text), ticket.use, ticket.secret)
            except BusLost as lost:
                raise Unavailable.because(lost) from None
        identity = None if held is None else _identity(held)
        if identity is None or identity.expires_at <= self._clock():
            raise Refusal(ErrorCode.BAD_TOKEN, "the ticket is unknown, used or too old: get a new one")
        if self._revocations.covers(identity):
            raise Refusal(ErrorCode.BAD_TOKEN, "the token behind the ticket was revoked: get a new one")
        return identity


def _name(text: str) -> str:
    """The name under which a ticket is kept. Who reads the registry cannot use the ticket."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=20).hexdigest()


def _encode(identity: Identity) -> bytes:
    rooms = dict(identity.rights.letters)
    info, claims = _raw(identity.info), _raw(identity.claims)
    return msgspec.json.encode(
        _Held(identity.user, rooms, identity.expires_at, identity.token_id, identity.issued_at, info, claims)
    )


def _identity(held: bytes) -> Identity | None:
    """The identity in `held`; None where that is no identity."""
    try:
        one = _decode(held)
        rights, info, claims = Rights(one.rooms), _text(one.info), _text(one.claims)
        return Identity(one.user, rights, one.expires_at, one.token_id, one.issued_at, info, claims)
    except (msgspec.MsgspecError, ValueError):
        return None


def _raw(text: bytes | None) -> Raw:
    return _NOTHING if text is None else Raw(text)


def _text(raw: Raw) -> bytes | None:
    return None if raw == _NOTHING else bytes(raw)
