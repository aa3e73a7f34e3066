"""The Verifier port: turns a token into an identity."""

from typing import Protocol

from forestay.core.rules.access import Identity


class Verifier(Protocol):
    """Verifies tokens."""

    async def verify(self, token: str) -> Identity:
        """The identity in `token`. Raises only Refusal: BAD_TOKEN, or UNAVAILABLE where the keys cannot be fetched."""

    async def close(self) -> None: ...
