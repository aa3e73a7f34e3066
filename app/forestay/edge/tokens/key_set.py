"""Reads a key set as issuers write it, and says of each key that is not used why.

An issuer publishes keys for other uses in the same set, so such a key is no error. A member that is null counts as
absent. Nothing of a key but its id is repeated, since the set of a careless issuer can hold a secret.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.exceptions import PyJWTError

from forestay.edge.quoted import quoted
from forestay.edge.tokens.algorithms import Material, algorithms_of
from forestay.protocol.depth import MAX_DEPTH, deeper_than

MAX_KID: Final = 256
"""The most characters of a key id."""

_MAX_KEYS: Final = 100
_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth"})
_PARTS: Final = {"RSA": ("n", "e"), "EC": ("x", "y"), "OKP": ("x",)}
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+={0,2}", re.ASCII).fullmatch
_READERS: Final = {"RSA": RSAAlgorithm.from_jwk, "EC": ECAlgorithm.from_jwk, "OKP": OKPAlgorithm.from_jwk}


@dataclass(frozen=True, slots=True, eq=False)
class Key:
    """One key, and the algorithms that it is for."""

    algorithms: tuple[str, ...]
    material: Material = field(repr=False)
    kid: str | None = None


@dataclass(frozen=True, slots=True)
class KeySet:
    """The keys of one document."""

    keys: Sequence[Key]
    unused: Sequence[str]
    """For each key that is not used its id, and why."""


class _Unused(Exception):
    """A key that is not used; the message says why."""


def read_key_set(body: bytes) -> KeySet:
    """The keys of a JWK set. Raises ValueError, with what is wrong, where none is usable or there are over a hundred.

    The ValueError is always one of ours: the errors of a parser repeat parts of the document.
    """
    entries = _entries(body)
    if len(entries) > _MAX_KEYS:
        raise ValueError(f"it has {len(entries)} keys, more than {_MAX_KEYS}")
    keys, unused = [], []
    for number, entry in enumerate(entries, 1):
        try:
            keys.append(_read(entry))
        except _Unused as why:
            unused.append(f"{_name(entry, number)}: {why}")
    if not keys:
        raise ValueError(f"none of its {len(entries)} keys is usable{''.join(f'; {why}' for why in unused[:3])}")
    return KeySet(keys, unused)


def _entries(body: bytes) -> list[object]:
    try:
        # UTF-8 as RFC 8259 demands. Of bytes the parser would guess the encoding, and see other brackets than we count.
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    if deeper_than(text, MAX_DEPTH):
        raise ValueError(f"it nests deeper than {MAX_DEPTH} arrays and objects")
    try:
        document = json.loads(text)
    except ValueError:
        raise ValueError("it is not JSON") from None
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise ValueError("it is not a key set: it has no list called keys")
    return entries


def _name(entry: object, number: int) -> str:
    kid = entry.get("kid") if isinstance(entry, dict) else None
    return f"key {quoted(kid)}" if isinstance(kid, str) and kid else f"key {number} of the set, without a kid"


def _read(entry: object) -> Key:
    """The key in one JWK. Raises _Unused."""
    if not isinstance(entry, dict):
        raise _Unused("it is not an object")
    # Many issuers write null, or an empty text, for what they leave out.
    jwk = {name: value for name, value in entry.items() if value is not None and value != ""}
    kid = jwk.get("kid")
    if kid is not None and not (isinstance(kid, str) and len(kid) <= MAX_KID):
        raise _Unused(f"its kid is not a text of at most {MAX_KID} characters")
    if jwk.get("use", "sig") != "sig":
        raise _Unused(f"its use is {quoted(jwk['use'])}, and not sig")
    operations = jwk.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        raise _Unused("its key_ops do not have verify")
    material = _material(jwk)
    try:
        algorithms = algorithms_of(material)
    except ValueError as error:
        raise _Unused(str(error)) from None
    return Key(_narrowed(algorithms, jwk.get("alg")), material, kid)  # type: ignore[arg-type]  # algorithms_of checked it


def _material(jwk: Mapping[str, object]) -> object:
    kind = jwk.get("kty")
    reader = _READERS.get(kind) if isinstance(kind, str) else None
    if kind == "oct":
        raise _Unused("it is a secret (kty oct), and a published secret verifies nothing")
    if reader is None:
        raise _Unused(f"its kty is {quoted(kind)}, and not RSA, EC or OKP")
    if not _PRIVATE.isdisjoint(jwk):
        raise _Unused("it has private parts; its issuer must publish only the public half, and make a new key")
    for part in _PARTS[str(kind)]:
        text = jwk.get(part, "_")
        # The reader would leave out what is no base64url, and so make another key.
        if not isinstance(text, str) or not _BASE64URL(text):
            raise _Unused(f"its {part} is not base64url")
    try:
        material: object = reader(dict(jwk))
    except (PyJWTError, UnsupportedAlgorithm, ValueError, TypeError, LookupError):
        shape = f", of curve {quoted(jwk['crv'])}" if "crv" in jwk else ""
        raise _Unused(f"its parts make no valid key of kty {kind}{shape}") from None
    return material


def _narrowed(algorithms: tuple[str, ...], named: object) -> tuple[str, ...]:
    """Those of `algorithms` that the key's `alg` leaves. Both names of Ed25519 mean the same."""
    if named is None or (algorithms[0] == "EdDSA" and named in algorithms):
        return algorithms
    if named not in algorithms:
        raise _Unused(f"its alg is {quoted(named)}, which its kind of key does not sign tokens with")
    return (str(named),)
