"""Mints development tokens, signed with the gateway's own secret.

A token that the gateway would refuse is not minted.
"""

from collections.abc import Mapping
from typing import TypedDict, Unpack

import jwt

from forestay.core.rules.access import Rights, is_user
from forestay.edge.tokens.algorithms import SECRET_ALGORITHMS
from forestay.edge.tokens.claims import STANDARD, ClaimNames
from forestay.edge.tokens.keys import read_secret
from forestay.edge.tokens.validity import LATEST
from forestay.edge.tokens.verifier import MAX_BYTES, MAX_PATTERNS


class TokenPurpose(TypedDict, total=False):
    """What the gateway requires of every token."""

    audience: str | None
    issuer: str | None
    algorithm: str
    max_bytes: int
    names: ClaimNames


def mint(
    secret: bytes,
    user: str,
    *,
    rooms: Mapping[str, str] | None,
    ttl: float,
    now: float,
    **purpose: Unpack[TokenPurpose],
) -> str:
    """A token of `user` that is valid for `ttl` seconds from `now`.

    `rooms`: rights by room pattern; None leaves the gateway's default rights. Raises ValueError, with what to do.
    """
    algorithm = purpose.get("algorithm", "HS256")
    if algorithm not in SECRET_ALGORITHMS:
        raise ValueError(f"development tokens are signed with a secret; choose {', '.join(SECRET_ALGORITHMS)}")
    read_secret(secret, algorithm)
    if not is_user(user):
        raise ValueError("the user must have 1 to 256 characters, none of them a control character")
    if not 0 < ttl <= LATEST - now:
        raise ValueError("the lifetime of a token must be a number of seconds above 0, up to the year 9999")
    names = purpose.get("names", STANDARD)
    claims: dict[str, object] = {names.user: user, "iat": now, "exp": now + ttl}
    if rooms is not None:
        if len(rooms) > MAX_PATTERNS:
            raise ValueError(f"a token has at most {MAX_PATTERNS} room patterns")
        Rights(rooms)
        claims[names.rooms] = dict(rooms)
    required = {names.audience: purpose.get("audience"), "iss": purpose.get("issuer")}
    claims |= {claim: value for claim, value in required.items() if value is not None}
    token = jwt.encode(claims, secret, algorithm)
    longest = purpose.get("max_bytes", MAX_BYTES)
    if len(token) > longest:
        raise ValueError(f"the token would have {len(token)} bytes, more than {longest}; use fewer room patterns")
    return token
