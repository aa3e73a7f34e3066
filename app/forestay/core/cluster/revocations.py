"""Revoked tokens: ends the connections that use one, and refuses new ones, on every pod.

Other pods learn of a revocation by a control message at once, or with their next heartbeat where that message was lost.
"""

from forestay.core.fanout.hub import Hub
from forestay.core.ports.registry import Registry, Revocation
from forestay.core.ports.runtime import Runtime
from forestay.core.ports.verifier import BadClaims, Verifier
from forestay.core.rules.access import Identity
from forestay.protocol.codes import ENDINGS, CloseCode


class Revocations:
    """The revocations that are in force."""

    def __init__(self, runtime: Runtime, registry: Registry, hub: Hub) -> None:
        self._runtime = runtime
        self._registry = registry
        self._hub = hub
        self._by_token: dict[str, Revocation] = {}
        self._by_user: dict[str, Revocation] = {}

    def __len__(self) -> int:
        return len(self._by_token) + len(self._by_user)

    def learn(self, revocation: Revocation) -> None:
        """Apply `revocation` from now on, and end the connections that it covers."""
        if revocation.until <= self._runtime.clock():
            return
        if revocation.jti is not None:
            self._by_token[revocation.jti] = _union(self._by_token.get(revocation.jti), revocation)
            candidates = self._hub.everybody()
        elif revocation.user is not None:
            self._by_user[revocation.user] = _union(self._by_user.get(revocation.user), revocation)
            candidates = self._hub.of_user(revocation.user)
        else:
            return
        for connection in candidates:
            if self.covers(connection.identity):
                connection.end(ENDINGS[CloseCode.REVOKED])

    def covers(self, identity: Identity) -> bool:
        """Whether the token of `identity` is revoked. A token without `iat` counts as older than any time."""
        now = self._runtime.clock()
        by_token = self._by_token.get(identity.token_id) if identity.token_id is not None else None
        if by_token is not None and by_token.until > now:
            return True
        by_user = self._by_user.get(identity.user)
        if by_user is None or by_user.until <= now:
            return False
        return identity.issued_at is None or identity.issued_at < by_user.before

    async def renew(self, *, everything: bool) -> None:
        """Drop what has run out. With `everything`, tell the registry all others again. Raises BusLost."""
        now = self._runtime.clock()
        for known in (self._by_token, self._by_user):
            for name in [name for name, revocation in known.items() if revocation.until <= now]:
                del known[name]
        if everything:
            for revocation in (*self._by_token.values(), *self._by_user.values()):
                await self._registry.revoke(revocation)


def _union(known: Revocation | None, new: Revocation) -> Revocation:
    """One revocation that covers what both cover: a revocation is never taken back."""
    if known is None:
        return new
    return Revocation(
        jti=new.jti, user=new.user, before=max(known.before, new.before), until=max(known.until, new.until)
    )


class RevocationVerifier:
    """A Verifier that also refuses revoked tokens."""

    def __init__(self, verifier: Verifier, revocations: Revocations) -> None:
        self._verifier = verifier
        self._revocations = revocations

    async def verify(self, token: str) -> Identity:
        """Raises Refusal, as any Verifier."""
        identity = await self._verifier.verify(token)
        if self._revocations.covers(identity):
            raise BadClaims("the token was revoked: get a new one", identity.user)
        return identity

    async def close(self) -> None:
        """Close the verifier behind it."""
        await self._verifier.close()
