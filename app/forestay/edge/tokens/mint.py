"""Development tokens, signed with the gateway's own secret; whatever the gateway would refuse is not minted."""

from collections.abc import Mapping
from math import isfinite
from typing import TypedDict, Unpack

import jwt

from forestay.core.rules.access import Rights
from forestay.edge.tokens.keys import SECRET_ALGORITHMS, read_secret
from forestay.edge.tokens.verifier import MAX_BYTES, MAX_PATTERNS, is_user


class SessionLimits(TypedDict, total=False):
    """What the gateway demands of every token."""

    audience: str | None
    issuer: str | None
    algorithm: str


def mint(
    secret: bytes, user: str, *, rooms: Mapping[str, str] | None, ttl: float, now: float, **terms: Unpack[SessionLimits]
) -> str:
    """A token that makes its bearer `user` for `ttl` seconds from `now`, with rights by pattern or the default ones.

    Raises ValueError, saying what to do.
    """
    algorithm = terms.get("algorithm", "HS256")
    if algorithm not in SECRET_ALGORITHMS:
        raise ValueError(f"development tokens are signed with a secret; choose {', '.join(SECRET_ALGORITHMS)}")
    read_secret(secret, algorithm)
    if not is_user(user):
        raise ValueError("a user has 1 to 256 characters, none of them a control character")
    if not (ttl > 0 and isfinite(now + ttl)):
        raise ValueError("a token lasts a number of seconds above 0")
    claims: dict[str, object] = {"sub": user, "iat": now, "exp": now + ttl}
    if rooms is not None:
        if len(rooms) > MAX_PATTERNS:
            raise ValueError(f"a token has at most {MAX_PATTERNS} room patterns")
        Rights(rooms)
        claims["rooms"] = dict(rooms)
    purpose = {"aud": terms.get("audience"), "iss": terms.get("issuer")}
    claims |= {claim: value for claim, value in purpose.items() if value is not None}
    token = jwt.encode(claims, secret, algorithm)
    if len(token) > MAX_BYTES:
        raise ValueError(f"the token would have {len(token)} bytes, more than {MAX_BYTES}; give it fewer patterns")
    return token
