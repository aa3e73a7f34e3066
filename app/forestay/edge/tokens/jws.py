"""Reads the form of a signed token (JWS, RFC 7515 §7.1): three parts in base64url, the first one its header."""

from binascii import a2b_base64, b2a_base64
from functools import lru_cache
from typing import Annotated, Final

import msgspec
from msgspec import UNSET, UnsetType

from forestay.edge.tokens.claims import bad_token
from forestay.edge.tokens.key_set import MAX_KID
from forestay.protocol.depth import MAX_DEPTH, deeper_than


class Header(msgspec.Struct, frozen=True):
    """The fields of a header that are read. Those that offer a key (`jku`, `jwk`, `x5c`, `x5u`) are not."""

    alg: str
    kid: Annotated[str, msgspec.Meta(max_length=MAX_KID)] | None = None
    crit: msgspec.Raw | UnsetType = UNSET
    b64: bool = True


_decode_header = msgspec.json.Decoder(Header).decode

# Different headers that are kept for the next token that has them: an issuer gives all tokens the same few.
_HEADERS: Final = 64

# From base64url to base64. What only the latter has becomes something that neither has.
_TO_BASE64: Final = bytes.maketrans(b"-_+/=", b"+/\0\0\0")


def read_header(token: str) -> Header:
    """The header of `token`. Raises Refusal, with what the text is where it is no signed token."""
    encoded, *others = token.split(".")
    if not token.isascii() or len(others) != 2:
        raise bad_token(_not_signed(len(others) + 1))
    return _read_header(encoded)


def _not_signed(parts: int) -> str:
    """What a text with other than three parts is. Auth0 gives the first two where a client asks for no audience."""
    shape = {1: "it has no dots, so it is opaque", 5: "it has five parts, so it is encrypted (JWE)"}.get(parts)
    if shape is None:
        return "not a signed JWT: three parts with dots between them are expected"
    asked = "have the client ask the issuer for a signed access token for this service"
    return f"not a signed JWT: {shape}; {asked} (Auth0: the parameter audience)"


@lru_cache(_HEADERS)
def _read_header(encoded: str) -> Header:
    text = part(encoded)
    if deeper_than(text, MAX_DEPTH):
        raise bad_token(f"not a signed JWT: its header nests deeper than {MAX_DEPTH} arrays and objects")
    try:
        header = _decode_header(text)
    except ValueError:
        raise bad_token("not a signed JWT: its header is not readable") from None
    if header.crit is not UNSET or not header.b64:
        raise bad_token("the token's header demands an extension that is not supported; leave out crit and b64")
    return header


def part(text: str) -> bytes:
    """One part of a token. Raises Refusal unless it is base64url in its one exact form."""
    encoded = text.encode().translate(_TO_BASE64) + b"=" * (-len(text) % 4)
    try:
        decoded = a2b_base64(encoded)
    except ValueError:
        decoded = None
    if decoded is None or b2a_base64(decoded, newline=False) != encoded:
        raise bad_token("not a signed JWT: a part of it is not readable")
    return decoded
