"""Reads the claims of a token: finds each where the settings say that it is, and checks its type.

No type is converted or guessed: `"exp": "1"` and `"exp": true` are malformed. Of the parser's errors nothing is
repeated, because they can contain a part of the token.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

import msgspec

from forestay.core.rules.access import MAX_USER, is_user
from forestay.protocol.codes import ErrorCode, Refusal
from forestay.protocol.depth import MAX_DEPTH, deeper_than

T = TypeVar("T")

MAX_NAME: Final = 256
"""The most characters of the name of a claim."""

Fields = dict[str, msgspec.Raw]
"""The claims of a token, not yet read."""


@dataclass(frozen=True, slots=True)
class ClaimNames:
    """Where a token has its user, its audience and its rights.

    A name is tried whole first, so `https://example.com/rooms` and `a.b` can be names of one claim. Else it is a path:
    the longest beginning that is the name of a claim, a dot, and the rest inside that claim. Raises ValueError where a
    name is empty or very long.
    """

    user: str = "sub"
    audience: str = "aud"
    rooms: str = "rooms"

    def __post_init__(self) -> None:
        for name in (self.user, self.audience, self.rooms):
            if not 0 < len(name) <= MAX_NAME:
                raise ValueError(f"the name of a claim has 1 to {MAX_NAME} characters")


STANDARD: Final = ClaimNames()
"""The names that are usual."""


_USUAL: Final = {
    "user": STANDARD.user,
    "expires_at": "exp",
    "not_before": "nbf",
    "issued_at": "iat",
    "audience": STANDARD.audience,
    "issuer": "iss",
    "token_id": "jti",
    "rooms": STANDARD.rooms,
}


class Claims(msgspec.Struct, frozen=True, rename=_USUAL):
    """The claims that are read; None for those that are absent."""

    user: str
    expires_at: float
    not_before: float | None = None
    issued_at: float | None = None
    audience: str | list[str] | None = None
    issuer: str | None = None
    token_id: str | None = None
    rooms: dict[str, str] | None = None
    info: Fields | None = None


_read_usual = msgspec.json.Decoder(Claims).decode
_decode_fields = msgspec.json.Decoder(Fields).decode
_text = msgspec.json.Decoder(str)
_number = msgspec.json.Decoder(float)
_text_or_integer = msgspec.json.Decoder(str | int)
_texts = msgspec.json.Decoder(str | list[str])
_rooms = msgspec.json.Decoder(dict[str, str])
_object = msgspec.json.Decoder(Fields)


def read_claims(payload: bytes, names: ClaimNames) -> Claims:
    """The claims in `payload`. Raises Refusal."""
    if deeper_than(payload, MAX_DEPTH):
        raise bad_token(f"malformed claims: nested deeper than {MAX_DEPTH} arrays and objects")
    # A claim that is null is malformed, and this decoder would take it for one that is absent.
    if names == STANDARD and b"null" not in payload:
        try:
            claims = _read_usual(payload)
        except ValueError:
            pass  # Below it is found out which claim is malformed.
        else:
            if is_user(claims.user):
                return claims
    fields = read_fields(payload)
    expires_at = read_claim(fields, "exp", _number)
    if expires_at is None:
        raise bad_token("missing claim: exp")
    return Claims(
        user=_user(fields, names.user),
        expires_at=expires_at,
        not_before=read_claim(fields, "nbf", _number),
        issued_at=read_claim(fields, "iat", _number),
        audience=read_claim(fields, names.audience, _texts),
        issuer=read_claim(fields, "iss", _text),
        token_id=read_claim(fields, "jti", _text),
        rooms=read_claim(fields, names.rooms, _rooms, '; it maps patterns of rooms to letters, as {"chat.*": "rw"}'),
        info=read_claim(fields, "info", _object),
    )


def read_fields(payload: bytes) -> Fields:
    """The claims in `payload` by name. Raises Refusal."""
    try:
        return _decode_fields(payload)
    except ValueError:
        raise bad_token("the token's claims are not a JSON object") from None


def _user(fields: Fields, name: str) -> str:
    """The user. A `sub` is text; another claim may also be a whole number, which counts as its digits."""
    user: str | int | None
    if name == STANDARD.user:
        user = read_claim(fields, name, _text, '; a sub is a text, so write the user 42 as "42"')
    else:
        user = read_claim(fields, name, _text_or_integer)
    if user is None:
        raise bad_token(f"missing claim: {name}; FORESTAY_JWT_USER_CLAIM says which claim names the user")
    if isinstance(user, int):
        user = str(user)
    if not is_user(user):
        raise bad_token(f"malformed claim: {name} must be 1 to {MAX_USER} characters, none of them a control character")
    return user


def read_claim(fields: Fields, name: str, decoder: msgspec.json.Decoder[T], remedy: str = "") -> T | None:
    """The value of the claim `name`; None where it is absent. Raises Refusal where its type is wrong, with a remedy."""
    raw = _find(fields, name)
    if raw is None:
        return None
    try:
        return decoder.decode(raw)
    except ValueError:
        raise bad_token(f"malformed claim: {name} has the wrong type or is out of range{remedy}") from None


def _find(fields: Mapping[str, msgspec.Raw], name: str) -> msgspec.Raw | None:
    """The claim that is called `name`, or that `name` leads to as a path."""
    raw = fields.get(name)
    end = len(name)
    while raw is None and (end := name.rfind(".", 0, end)) > 0:
        outer = fields.get(name[:end])
        if outer is not None:
            try:
                return _find(_object.decode(outer), name[end + 1 :])
            except ValueError:
                return None
    return raw


def bad_token(message: str) -> Refusal:
    """The refusal of a bad token."""
    return Refusal(ErrorCode.BAD_TOKEN, message)
