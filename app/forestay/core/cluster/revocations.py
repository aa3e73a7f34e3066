"""Tokens that are good no more: whoever has one is ended, and whoever brings one is not let in, on every pod.

A revocation reaches the other pods by a message at once, and by their next sign of life where the message was lost.
"""

from collections.abc import Callable

from forestay.core.fanout.connection import Connection
from forestay.core.fanout.hub import Hub
from forestay.core.ports.registry import Registry, Revocation
from forestay.core.ports.runtime import Runtime
from forestay.core.ports.verifier import Verifier
from forestay.core.rules.access import Identity
from forestay.protocol.codes import ENDINGS, CloseCode, Ending, ErrorCode, Refusal


class Revocations:
    def __init__(self, runtime: Runtime, registry: Registry, hub: Hub) -> None:
        self._runtime = runtime
        self._registry = registry
        self._hub = hub
        self._by_token: dict[str, Revocation] = {}
        self._by_user: dict[str, Revocation] = {}
        self.end: Callable[[Connection, Ending], None] = _nobody_to_tell
        """Ends a connection; set by whoever owns connections' lives."""

    def __len__(self) -> int:
        return len(self._by_token) + len(self._by_user)

    def learn(self, revocation: Revocation) -> None:
        """Know it from now on, and end whom it is about."""
        if revocation.until <= self._runtime.clock():
            return
        if revocation.jti is not None:
            self._by_token[revocation.jti] = _longer(self._by_token.get(revocation.jti), revocation)
            found = self._hub.everybody()
        elif revocation.user is not None:
            self._by_user[revocation.user] = _longer(self._by_user.get(revocation.user), revocation)
            found = self._hub.of_user(revocation.user)
        else:
            return
        for connection in found:
            if self.cover(connection.identity):
                self.end(connection, ENDINGS[CloseCode.REVOKED])

    def cover(self, identity: Identity) -> bool:
        """Whether the token of `identity` is good no more. One without `iat` counts as older than any."""
        now = self._runtime.clock()
        by_token = self._by_token.get(identity.token_id) if identity.token_id is not None else None
        if by_token is not None and by_token.until > now:
            return True
        by_user = self._by_user.get(identity.user)
        if by_user is None or by_user.until <= now:
            return False
        return identity.issued_at is None or identity.issued_at < by_user.before

    async def renew(self, *, all_of_it: bool) -> None:
        """Drop what is over; tell the registry what it has forgotten. Raises BusLost."""
        now = self._runtime.clock()
        for known in (self._by_token, self._by_user):
            for name in [name for name, revocation in known.items() if revocation.until <= now]:
                del known[name]
        if all_of_it:
            for revocation in (*self._by_token.values(), *self._by_user.values()):
                await self._registry.revoke(revocation)


def _longer(known: Revocation | None, new: Revocation) -> Revocation:
    """Both as one: what was revoked stays so."""
    if known is None:
        return new
    return Revocation(
        jti=new.jti, user=new.user, before=max(known.before, new.before), until=max(known.until, new.until)
    )


class RevokedToo:
    """A Verifier that also asks whether the token was revoked."""

    def __init__(self, verifier: Verifier, revocations: Revocations) -> None:
        self._verifier = verifier
        self._revocations = revocations

    async def verify(self, token: str) -> Identity:
        """Raises Refusal, as any Verifier."""
        identity = await self._verifier.verify(token)
        if self._revocations.cover(identity):
            raise Refusal(ErrorCode.BAD_TOKEN, "the token was revoked: get a new one")
        return identity

    async def close(self) -> None:
        await self._verifier.close()


def _nobody_to_tell(connection: Connection, ending: Ending) -> None:
    raise RuntimeError("revocations were not told how to end a connection")
