"""Verifies tokens: turns a JSON Web Token into an identity, or refuses it.

Nothing in a token is used before its signature is verified, and nothing in it chooses how it is verified. A refusal
says what is wrong, what was seen and which setting decides. Of the token it repeats the algorithm, the key id, the
issuer and the audience, quoted and cut: these are no secret. The handshake finds the token in the request.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import structlog

from forestay.core.ports.verifier import BadClaims
from forestay.core.rules.access import Identity, Rights, read_rules
from forestay.edge.log_throttle import LogThrottle
from forestay.edge.quoted import quoted
from forestay.edge.tokens.algorithms import ALGORITHMS, HOW_TO_ACCEPT, is_signed
from forestay.edge.tokens.claim_rights import ClaimRights
from forestay.edge.tokens.claims import STANDARD, ClaimNames, Claims, bad_token, read_claims
from forestay.edge.tokens.jws import part, read_header
from forestay.edge.tokens.key_set import Key
from forestay.edge.tokens.keys import Keys
from forestay.edge.tokens.validity import wrong_purpose, wrong_time

log = structlog.get_logger(__name__)

MAX_BYTES: Final = 8192
"""The longest token, unless the settings say otherwise. A token that lists the roles of a user has some kilobytes."""

MAX_PATTERNS: Final = 100
"""The most room patterns in a token."""

MAX_INFO: Final = 1024
"""The most bytes of a token's info. The bus keeps it in memory for each member, and each presence page repeats it."""


NOT_OURS: Final = (
    "signature does not match: another key signed the token; compare the issuer's key with that of the gateway, which "
    "is FORESTAY_JWKS_URL, FORESTAY_JWT_PUBLIC_KEY or FORESTAY_JWT_SECRET"
)


@dataclass(frozen=True, slots=True)
class TokenRules:
    """What a token must be like.

    A token must have one of the audiences and one of the issuers, exactly. Where none are configured, they are not
    checked: a secret that only this gateway uses needs none. Configure both where an issuer also serves others.
    """

    default_rights: str
    """The rights of tokens that name none, like `chat.*:rw news.*:r`."""
    claim_rights: ClaimRights | None = None
    """In place of these: the rights of such tokens by their other claims."""
    audiences: Sequence[str] = ()
    issuers: Sequence[str] = ()
    names: ClaimNames = STANDARD
    max_bytes: int = MAX_BYTES
    keep_claims: bool = False
    """Whether an identity has all claims of its token, because the application gets them."""


class TokenVerifier:
    """The Verifier for JSON Web Tokens."""

    def __init__(self, keys: Keys, rules: TokenRules, clock: Callable[[], float] = time.time) -> None:
        """Raises ValueError where the default rights are malformed, or an audience or an issuer is empty."""
        if "" in (*rules.audiences, *rules.issuers):
            raise ValueError("the audience or the issuer is empty; give a name or leave it out")
        self._default = read_rules(parse_rooms(rules.default_rights))
        self._keys = keys
        self._rules = rules
        self._clock = clock
        self._others = LogThrottle("tokens of another algorithm refused", log.warning)

    async def verify(self, token: str) -> Identity:
        """The identity in `token`. Raises Refusal: BAD_TOKEN, or UNAVAILABLE while there are no keys to verify it."""
        # Counted in characters, each at least one byte. Text that is not ASCII is refused next.
        if len(token) > self._rules.max_bytes:
            limit = f"more than {self._rules.max_bytes}; FORESTAY_MAX_TOKEN_BYTES decides"
            raise bad_token(f"token too long: {len(token)} bytes, {limit}")
        payload = await self._payload(token)
        claims = read_claims(payload, self._rules.names)
        rules = self._rules
        wrong = wrong_time(claims, self._clock())
        wrong = wrong or wrong_purpose(claims, rules.audiences, rules.issuers, rules.names.audience)
        if wrong is not None:
            raise BadClaims(wrong, claims.user)
        return self._identity(claims, payload)

    async def close(self) -> None:
        """Stop fetching the issuer's keys."""
        await self._keys.close()

    async def _payload(self, token: str) -> bytes:
        """The signed content. Raises Refusal unless one of our keys verifies the signature."""
        header = read_header(token)
        if header.alg not in self._keys.algorithms:
            seen, accepted = quoted(header.alg), " or ".join(self._keys.algorithms)
            if header.alg in ALGORITHMS:
                self._others.count(header.alg, HOW_TO_ACCEPT.format(alg=header.alg, accepted=accepted))
            raise bad_token(
                f"algorithm not allowed: the token's alg is {seen}, and FORESTAY_JWT_ALGORITHMS accepts {accepted}"
            )
        # An empty key id names nothing, as none.
        kid = header.kid or None
        keys = await self._keys.find(header.alg, kid)
        if not keys:
            seen = "the token names no kid" if kid is None else f"the token's kid is {quoted(kid)}"
            expected = f"the set at FORESTAY_JWKS_URL has no such key for {header.alg}"
            raise bad_token(f"unknown key: {seen}, and {expected}; get a new token")
        content, _, text = token.rpartition(".")
        signature, payload = part(text), part(content.rpartition(".")[2])
        signed = content.encode()
        if not _verified(signed, header.alg, keys, signature):
            newer = await self._keys.find_newer(header.alg, kid, keys)
            if not _verified(signed, header.alg, newer, signature):
                raise bad_token(NOT_OURS)
        return payload

    def _identity(self, claims: Claims, payload: bytes) -> Identity:
        rooms, by_claims = claims.rooms, self._rules.claim_rights
        # One object per token, because it remembers decisions: one user must not fill the memory of another.
        if rooms is not None:
            rights = _rights(self._rules.names.rooms, rooms)
        else:
            rights = Rights(self._default if by_claims is None else by_claims.rooms(payload))
        return Identity(
            user=claims.user,
            rights=rights,
            expires_at=claims.expires_at,
            token_id=claims.token_id,
            issued_at=claims.issued_at,
            info=None if claims.info is None else _info(claims.info),
            claims=payload if self._rules.keep_claims else None,
        )


def parse_rooms(text: str) -> dict[str, str]:
    """Rights by room pattern from text like `chat.*:rw news.*:r`, also with commas. Raises ValueError."""
    rooms: dict[str, str] = {}
    for rule in text.replace(",", " ").split():
        # The last colon separates: a room's name may contain colons, rights do not.
        pattern, colon, letters = rule.rpartition(":")
        if not colon:
            raise ValueError(f"{rule!r} has no rights; write pattern:letters, like 'chat.*:rw'")
        if pattern in rooms:
            raise ValueError(f"the pattern {pattern!r} appears twice; write all its letters once")
        rooms[pattern] = letters
    Rights(rooms)
    return rooms


def _verified(content: bytes, algorithm: str, keys: Sequence[Key], signature: bytes) -> bool:
    return any(is_signed(content, algorithm, key.material, signature) for key in keys)


def _rights(name: str, rooms: Mapping[str, str]) -> Rights:
    if len(rooms) > MAX_PATTERNS:
        raise bad_token(f"malformed claim: {name} has more than {MAX_PATTERNS} patterns")
    try:
        return Rights(rooms)
    except ValueError:
        raise bad_token(f"malformed claim: {name} must map room patterns to letters of r, w, p and h") from None


def _info(info: Mapping[str, msgspec.Raw]) -> bytes:
    encoded = msgspec.json.encode(info)
    if len(encoded) > MAX_INFO:
        raise bad_token(f"malformed claim: info has more than {MAX_INFO} bytes")
    return encoded
