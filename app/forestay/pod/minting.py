"""Mints tokens with the secret of the settings, which a gateway with these settings takes."""

import time
from collections.abc import Mapping

from forestay.edge.tokens.mint import mint
from forestay.settings.secrets import variable_of
from forestay.settings.settings import Settings


def mint_token(settings: Settings, user: str, rooms: Mapping[str, str] | None, ttl: float) -> str:
    """A token of `user` for `ttl` seconds. `rooms`: as for `mint`. Raises ValueError, also where there is no secret."""
    if settings.jwt_secret is None:
        raise ValueError(f"{variable_of('jwt_secret')} is not set, but it signs the tokens")
    return mint(
        settings.jwt_secret.get_secret_value().encode(),
        user,
        rooms=rooms,
        ttl=ttl,
        now=time.time(),
        algorithm=next((name for name in settings.jwt_algorithms if name.startswith("HS")), "HS256"),
        audience=next(iter(settings.jwt_audience), None),
        issuer=next(iter(settings.jwt_issuer), None),
        max_bytes=settings.max_token_bytes,
        names=settings.claim_names,
    )
