"""Decides whether the claims of a token are valid now and here: its times, its audience and its issuer.

Each function returns what is wrong, with what was seen and what decides; None where nothing is.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from forestay.edge.quoted import listed, quoted
from forestay.edge.tokens.claims import Claims

LEEWAY: Final = 10.0
"""Seconds by which an issuer's clock may be ahead of ours. It does not make a token valid for longer."""

LATEST: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()
"""The latest time that a claim may say. What is later was counted in milliseconds, as `Date.now()` of JavaScript does.
"""


def wrong_time(claims: Claims, now: float) -> str | None:
    """`now`: Unix seconds."""
    # PyJWT would look at a clock of its own, and cut fractions off.
    times = (("exp", claims.expires_at), ("nbf", claims.not_before), ("iat", claims.issued_at))
    for name, value in times:
        if value is not None and value > LATEST:
            return f"malformed claim: {name} is {value:.16g}, after the year 9999; it counts seconds, not milliseconds"
    if claims.expires_at <= now:
        ended = f"its exp is {_moment(claims.expires_at)}, and the gateway's clock says {_moment(now)}"
        return f"token expired: {ended}; get a new one"
    for name, value in times[1:]:
        if value is not None and value > now + LEEWAY:
            begins = f"its {name} is {_moment(value)}, and the gateway's clock says {_moment(now)}"
            return f"token not valid yet: {begins}"
    return None


def wrong_purpose(claims: Claims, audiences: Sequence[str], issuers: Sequence[str], name: str) -> str | None:
    """`audiences`, `issuers`: those that are accepted; any where there are none. `name`: of the audience's claim."""
    if audiences:
        if claims.audience is None:
            other = "FORESTAY_JWT_AUDIENCE_CLAIM can name another claim"
            return f"missing claim: {name}; FORESTAY_JWT_AUDIENCE expects {listed(audiences)}; {other}"
        seen = [claims.audience] if isinstance(claims.audience, str) else claims.audience
        if not set(audiences) & set(seen):
            return (
                f"audience does not match: the token's {name} is {listed(seen)}, "
                f"and FORESTAY_JWT_AUDIENCE expects {listed(audiences)}"
            )
    if issuers:
        if claims.issuer is None:
            return f"missing claim: iss; FORESTAY_JWT_ISSUER expects {listed(issuers)}"
        if claims.issuer not in issuers:
            slash = claims.issuer.rstrip("/") in [each.rstrip("/") for each in issuers]
            return (
                f"issuer does not match: the token's iss is {quoted(claims.issuer)}, and FORESTAY_JWT_ISSUER "
                f"expects {listed(issuers)}{'; they differ in the slash at the end' if slash else ''}"
            )
    return None


def _moment(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
    except (OverflowError, ValueError, OSError):
        return f"{seconds:g}"
