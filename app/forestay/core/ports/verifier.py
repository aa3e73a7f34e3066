"""The Verifier port: turns a token into an identity."""

from typing import Protocol

from forestay.core.rules.access import Identity


class Verifier(Protocol):
    """A token becomes an identity, or does not."""

    async def verify(self, token: str) -> Identity:
        """Raises Refusal with BAD_TOKEN, or UNAVAILABLE where the keys cannot be had now, and nothing else."""

    async def close(self) -> None: ...
