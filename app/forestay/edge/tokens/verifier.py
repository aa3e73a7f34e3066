"""Verifies tokens: turns a JSON Web Token into an identity, or refuses it.

Nothing in a token is used before its signature is verified, and nothing in it chooses how it is verified. A refusal
says what is wrong and contains no part of the token. The handshake finds the token in the request.
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
from forestay.protocol.depth import MAX_DEPTH, deeper_than

MAX_BYTES: Final = 8192
"""The longest token, unless the settings say otherwise. A token that lists the roles of a user has some kilobytes."""

LEEWAY: Final = 10.0
"""Seconds by which an issuer's clock may be ahead of ours. It does not make a token valid for longer."""

MAX_PATTERNS: Final = 100
"""The most room patterns in a token."""

MAX_INFO: Final = 1024
"""The most bytes of a token's info. The bus keeps it in memory for each member, and each presence page repeats it."""

_MAX_USER: Final = 256
# Control characters, and halves of surrogate pairs, which UTF-8 cannot encode.
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]").search

# Only the algorithms that can be configured: `none` is not among them. A weak key is an error, not a warning.
_JWS = jwt.PyJWS(algorithms=ALGORITHMS, options={"verify_signature": True, "enforce_minimum_key_length": True})


class _Header(msgspec.Struct):
    """The fields of a header that are read. Those that offer a key (`jku`, `jwk`, `x5c`, `x5u`) are not."""

    alg: str
    kid: Annotated[str, msgspec.Meta(max_length=MAX_KID)] | UnsetType = UNSET
    crit: msgspec.Raw | UnsetType = UNSET
    b64: bool = True


class _Claims(msgspec.Struct):
    """The claims that are read. No type is converted: `"exp": "1"` and `"exp": true` are malformed."""

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

    A configured audience or issuer must be in the token, exactly. Without a configured audience, the token's audience
    is ignored: a secret that only this gateway uses needs none. Configure both where an issuer also serves others.
    """

    def __init__(
        self,
        keys: Keys,
        *,
        default_rights: str,
        audience: str | None = None,
        issuer: str | None = None,
        max_bytes: int = MAX_BYTES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Raises ValueError where the default rights are not like `chat.*:rw news.*:r`."""
        if audience == "" or issuer == "":
            raise ValueError("the audience or the issuer is empty; give a name or leave it out")
        self._default = read_rules(parse_rooms(default_rights))
        self._keys = keys
        self._audience = audience
        self._issuer = issuer
        self._max_bytes = max_bytes
        self._clock = clock

    async def verify(self, token: str) -> Identity:
        """The identity in `token`. Raises Refusal: BAD_TOKEN, or UNAVAILABLE while there are no keys to verify it."""
        # Counted in characters, each at least one byte. Text that is not ASCII is refused next.
        if len(token) > self._max_bytes:
            limit = f"more than {self._max_bytes}; FORESTAY_MAX_TOKEN_BYTES decides"
            raise _bad(f"token too long: {len(token)} bytes, {limit}")
        header = _header(token)
        if header.alg not in self._keys.algorithms:
            raise _bad(f"algorithm not allowed: sign the token with {' or '.join(self._keys.algorithms)}")
        kid = None if header.kid is UNSET else header.kid
        keys = await self._keys.find(header.alg, kid)
        if not keys:
            raise _bad(
                "unknown key: the issuer publishes no key with the token's key id and algorithm; get a new token"
            )
        claims = _claims(_payload(token, keys))
        self._check_time(claims)
        self._check_purpose(claims)
        return self._identity(claims)

    async def close(self) -> None:
        """Stop fetching the issuer's keys."""
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
                raise _bad("issuer does not match: the token comes from another issuer")

    def _identity(self, claims: _Claims) -> Identity:
        if not is_user(claims.sub):
            raise _bad(f"malformed claim: sub must be 1 to {_MAX_USER} characters, none of them a control character")
        return Identity(
            user=claims.sub,
            # One object per token, because it remembers decisions: one user must not fill the memory of another.
            rights=Rights(self._default) if claims.rooms is UNSET else _rights(claims.rooms),
            expires_at=claims.exp,
            token_id=None if claims.jti is UNSET else claims.jti,
            issued_at=None if claims.iat is UNSET else claims.iat,
            info=None if claims.info is UNSET else _info(claims.info),
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


def is_user(name: str) -> bool:
    """Whether `name` may be the `sub` of a token."""
    return 0 < len(name) <= _MAX_USER and _FORBIDDEN(name) is None


def _header(token: str) -> _Header:
    encoded, *others = token.split(".")
    if not token.isascii() or len(others) != 2:
        raise _bad("not a signed JWT: three parts with dots between them are expected")
    try:
        text = urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
        if deeper_than(text, MAX_DEPTH):
            raise _bad(f"not a signed JWT: its header nests deeper than {MAX_DEPTH} arrays and objects")
        header = _read_header(text)
    except ValueError:
        raise _bad("not a signed JWT: its header is not readable") from None
    if header.crit is not UNSET or not header.b64:
        raise _bad("the token's header demands an extension that is not supported; leave out crit and b64")
    return header


def _payload(token: str, keys: Sequence[Key]) -> bytes:
    """The signed content. Raises Refusal unless one of `keys` verifies the signature."""
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
        raise _bad("not a signed JWT: a part of it is not readable") from None
    return payload


def _claims(payload: bytes) -> _Claims:
    """The claims in `payload`. Raises Refusal.

    Of the parser's errors only the field's name is repeated: the rest may contain a part of the token.
    """
    if deeper_than(payload, MAX_DEPTH):
        raise _bad(f"malformed claims: nested deeper than {MAX_DEPTH} arrays and objects")
    try:
        return _read_claims(payload)
    except ValueError as error:
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
