"""A token becomes an identity, or does not.

Nothing is believed before the signature is, and nothing in a token chooses how it is checked. What is wrong with a
token is told to whoever holds it, in words that contain no part of it. How a token travels is the handshake's business.
"""

import re
import time
from base64 import urlsafe_b64decode
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Final

import jwt
import msgspec
from msgspec import UNSET, UnsetType

from forestay.core.rules.access import Identity, Rights, read_rules
from forestay.edge.tokens.keys import ALGORITHMS, MAX_KID, Key, Keys
from forestay.protocol.codes import ErrorCode, Refusal

MAX_BYTES: Final = 4096
"""Of a token as it is given; it also has to fit into a header line beside others."""

LEEWAY: Final = 10.0
"""Seconds by which an issuer's clock may be ahead of ours. It never makes a token last longer."""

MAX_PATTERNS: Final = 100
"""In a token's rooms."""

MAX_INFO: Final = 1024
"""Bytes of a token's info: every member's lies in memory on the bus and in every page of presence."""

_MAX_USER: Final = 256
# Control characters, and halves of surrogate pairs, which no encoding can carry.
_UNSPEAKABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]").search

# Knows nothing but what can be configured: `none` is not there to be refused. A weak key is an error, not a warning.
_JWS = jwt.PyJWS(algorithms=ALGORITHMS, options={"verify_signature": True, "enforce_minimum_key_length": True})


class _Header(msgspec.Struct):
    """What is read of a header. Anything that offers a key (`jku`, `jwk`, `x5c`, `x5u`) is not."""

    alg: str
    kid: Annotated[str, msgspec.Meta(max_length=MAX_KID)] | UnsetType = UNSET
    crit: msgspec.Raw | UnsetType = UNSET
    b64: bool = True


class _Claims(msgspec.Struct):
    """What is read of the claims; no type is converted, so `"exp": "1"` and `"exp": true` are no times."""

    sub: str
    exp: float
    nbf: float | UnsetType = UNSET
    iat: float | UnsetType = UNSET
    aud: str | list[str] | UnsetType = UNSET
    iss: str | UnsetType = UNSET
    jti: str | UnsetType = UNSET
    rooms: dict[str, str] | UnsetType = UNSET
    info: dict[str, msgspec.Raw] | UnsetType = UNSET


_read_header = msgspec.json.Decoder(_Header).decode
_read_claims = msgspec.json.Decoder(_Claims).decode
_MISSING = re.compile(r"missing required field `(\w+)`").search
_MALFORMED = re.compile(r"`\$\.(\w+)").search


class TokenVerifier:
    """The Verifier for JSON Web Tokens.

    A configured audience or issuer must be in the token, exactly. Without a configured audience one in the token is not
    looked at: a secret of our own needs none. Keys that an issuer also uses for others do: configure both.
    """

    def __init__(
        self,
        keys: Keys,
        *,
        default_rights: str,
        audience: str | None = None,
        issuer: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Raises ValueError where the default rights are not like `chat.*:rw news.*:r`."""
        if audience == "" or issuer == "":
            raise ValueError("the audience or the issuer is empty; name it or leave it out")
        self._default = read_rules(parse_rooms(default_rights))
        self._keys = keys
        self._audience = audience
        self._issuer = issuer
        self._clock = clock

    async def verify(self, token: str) -> Identity:
        """Raises Refusal: BAD_TOKEN, or UNAVAILABLE while an issuer's keys cannot be had."""
        header = _header(token)
        if header.alg not in self._keys.algorithms:
            raise _bad(f"algorithm not allowed: sign the token with {' or '.join(self._keys.algorithms)}")
        kid = None if header.kid is UNSET else header.kid
        keys = await self._keys.find(header.alg, kid)
        if not keys:
            raise _bad("unknown key: the issuer publishes none that the token names and its algorithm fits")
        claims = _claims(_payload(token, keys))
        self._check_time(claims)
        self._check_purpose(claims)
        return self._identity(claims)

    async def close(self) -> None:
        """Let go of the issuer's address."""
        await self._keys.close()

    def _check_time(self, claims: _Claims) -> None:
        # PyJWT would look at a clock of its own, and cut fractions off.
        now = self._clock()
        if claims.exp <= now:
            raise _bad("token expired: get a new one")
        if claims.nbf is not UNSET and claims.nbf > now + LEEWAY:
            raise _bad("token not valid yet: its nbf is in the future")
        if claims.iat is not UNSET and claims.iat > now + LEEWAY:
            raise _bad("token not valid yet: its iat is in the future")

    def _check_purpose(self, claims: _Claims) -> None:
        if self._audience is not None:
            if claims.aud is UNSET:
                raise _bad("missing claim: aud")
            if self._audience not in ([claims.aud] if isinstance(claims.aud, str) else claims.aud):
                raise _bad("audience does not match: the token is meant for another service")
        if self._issuer is not None:
            if claims.iss is UNSET:
                raise _bad("missing claim: iss")
            if claims.iss != self._issuer:
                raise _bad("issuer does not match: the token comes from somebody else")

    def _identity(self, claims: _Claims) -> Identity:
        if not is_user(claims.sub):
            raise _bad(f"malformed claim: sub must be 1 to {_MAX_USER} characters, none of them a control character")
        return Identity(
            user=claims.sub,
            # Not shared between tokens: each remembers its own decisions, and one user's odd questions fill one memory.
            rights=Rights(self._default) if claims.rooms is UNSET else _rights(claims.rooms),
            expires_at=claims.exp,
            token_id=None if claims.jti is UNSET else claims.jti,
            issued_at=None if claims.iat is UNSET else claims.iat,
            info=None if claims.info is UNSET else _info(claims.info),
        )


def parse_rooms(text: str) -> dict[str, str]:
    """`chat.*:rw news.*:r` (or with commas) as rights by pattern. Raises ValueError."""
    rooms: dict[str, str] = {}
    for rule in text.replace(",", " ").split():
        # A room's name may contain colons, rights do not.
        pattern, colon, letters = rule.rpartition(":")
        if not colon:
            raise ValueError(f"rights are written pattern:letters, like 'chat.*:rw', not {rule!r}")
        if pattern in rooms:
            raise ValueError(f"the pattern {pattern!r} is there twice; write its letters once")
        rooms[pattern] = letters
    Rights(rooms)
    return rooms


def is_user(name: str) -> bool:
    """Whether a token's `sub` may be `name`."""
    return 0 < len(name) <= _MAX_USER and _UNSPEAKABLE(name) is None


def _header(token: str) -> _Header:
    # A character is a byte at least; what is not ASCII is refused in the next breath.
    if len(token) > MAX_BYTES:
        raise _bad(f"token too long: more than {MAX_BYTES} bytes")
    encoded, *others = token.split(".")
    if not token.isascii() or len(others) != 2:
        raise _bad("not a signed JWT: three parts with dots between them are expected")
    try:
        header = _read_header(urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))
    except (ValueError, RecursionError):
        raise _bad("not a signed JWT: its header cannot be read") from None
    if header.crit is not UNSET or not header.b64:
        raise _bad("the token's header demands an extension that is not supported")
    return header


def _payload(token: str, keys: Sequence[Key]) -> bytes:
    """What was signed, if it was signed with one of `keys`."""
    for key in keys:
        payload = _signed(token, key)
        if payload is not None:
            return payload
    raise _bad("signature does not match")


def _signed(token: str, key: Key) -> bytes | None:
    try:
        payload: bytes = _JWS.decode_complete(token, key.material, [key.algorithm])["payload"]
    except jwt.InvalidSignatureError:
        return None
    except jwt.PyJWTError:
        raise _bad("not a signed JWT: a part of it cannot be read") from None
    return payload


def _claims(payload: bytes) -> _Claims:
    """The claims; the reader's complaints are translated, since only their field names are sure to be ours."""
    try:
        return _read_claims(payload)
    except (ValueError, RecursionError) as error:
        missing, malformed = _MISSING(str(error)), _MALFORMED(str(error))
    if missing is not None:
        raise _bad(f"missing claim: {missing[1]}")
    if malformed is not None:
        raise _bad(f"malformed claim: {malformed[1]} has the wrong type or is out of range")
    raise _bad("the token's claims are not a JSON object")


def _rights(rooms: Mapping[str, str]) -> Rights:
    if len(rooms) > MAX_PATTERNS:
        raise _bad(f"malformed claim: rooms has more than {MAX_PATTERNS} patterns")
    try:
        return Rights(rooms)
    except ValueError:
        raise _bad("malformed claim: rooms must map room patterns to letters of r, w, p and h") from None


def _info(info: Mapping[str, msgspec.Raw]) -> bytes:
    encoded = msgspec.json.encode(info)
    if len(encoded) > MAX_INFO:
        raise _bad(f"malformed claim: info has more than {MAX_INFO} bytes")
    return encoded


def _bad(message: str) -> Refusal:
    return Refusal(ErrorCode.BAD_TOKEN, message)
