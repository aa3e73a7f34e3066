"""Reads the keys that verify tokens: a shared secret, a public key, or a key set that an issuer publishes.

The key and the configuration decide which algorithm a key is for, never a token. Each algorithm has exactly one source.
This rules out key confusion. Keys are checked here, once; a weak key is an error.
"""

import json
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt import PyJWK
from jwt.algorithms import HMACAlgorithm
from jwt.exceptions import InvalidKeyError, PyJWTError

from forestay.core.ports.tasks import Tasks
from forestay.edge.tokens.jwks import TIMES, JwksCache, RenewalTimes
from forestay.protocol.depth import MAX_DEPTH, deeper_than

Material = PyJWK | RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey

# The least bytes of a secret, by algorithm. RFC 7518 §3.2: a shorter one is easier to guess than the hash.
_SECRET_BYTES: Final = {"HS256": 32, "HS384": 48, "HS512": 64}
_PUBLIC: Final = ("RS256", "ES256", "EdDSA")
SECRET_ALGORITHMS: Final = tuple(_SECRET_BYTES)
ALGORITHMS: Final = (*SECRET_ALGORITHMS, *_PUBLIC)
"""The algorithms that may be configured."""

MAX_KID: Final = 256
_MAX_KEYS: Final = 100
# A shorter key can be factored. With a longer one, each check costs milliseconds; OpenSSL has a limit too.
_RSA_BITS: Final = range(2048, 8193)
# Without a `kid` every key of the algorithm is tried. The limit bounds the work that an unauthenticated caller causes.
_MAX_TRIED: Final = 10


@dataclass(frozen=True, slots=True, eq=False)
class Key:
    """One key, and the one algorithm that it is for."""

    algorithm: str
    material: Material = field(repr=False)
    kid: str | None = None


class Keys:
    """All keys that tokens may be signed with: a secret, a public key or a key set, or a secret and one of the others.

    Without `algorithms` the usual ones are accepted: HS256 for a secret, the key's own for a public key, and RS256,
    ES256 and EdDSA for a key set. Raises ValueError, with what to do, where sources and algorithms do not fit.
    """

    def __init__(
        self,
        tasks: Tasks,
        *,
        secret: bytes | None = None,
        public_key: str | None = None,
        jwks_url: str | None = None,
        algorithms: Sequence[str] = (),
        times: RenewalTimes = TIMES,
    ) -> None:
        if public_key is not None and jwks_url is not None:
            raise ValueError(
                "a public key and a JWKS URL are both given; leave one out, because each algorithm has one source"
            )
        known = None if public_key is None else read_public_key(public_key)
        offers = {
            "secret": SECRET_ALGORITHMS if secret is not None else (),
            "public key": (known.algorithm,) if known is not None else (),
            "JWKS URL": _PUBLIC if jwks_url is not None else (),
        }
        if not any(offers.values()):
            raise ValueError("there is no key to verify tokens; give a secret, a public key or a JWKS URL")
        usual = [*(["HS256"] if secret is not None else []), *offers["public key"], *offers["JWKS URL"]]
        chosen = tuple(dict.fromkeys(algorithms or usual))
        _check_fit(chosen, offers)

        self.algorithms = chosen
        """The algorithms that a token may be signed with."""
        self._own = {} if known is None else {known.algorithm: (known,)}
        if secret is not None:
            self._own |= {name: (read_secret(secret, name),) for name in chosen if name in _SECRET_BYTES}
        self._published = None if jwks_url is None else JwksCache(jwks_url, read_key_set, tasks, times)

    async def find(self, algorithm: str, kid: str | None) -> Sequence[Key]:
        """The keys to try; none for an algorithm that is not configured. Does not suspend for a configured key.

        Raises Refusal with UNAVAILABLE where an issuer's keys are not available.
        """
        if algorithm in self._own or self._published is None or algorithm not in self.algorithms:
            return self._own.get(algorithm, ())
        found = _fitting(await self._published.get(), algorithm, kid)
        return found or _fitting(await self._published.renewed(), algorithm, kid)

    async def close(self) -> None:
        """Stop fetching published keys."""
        if self._published is not None:
            await self._published.close()


def _check_fit(chosen: Sequence[str], offers: Mapping[str, Sequence[str]]) -> None:
    """Raises ValueError unless each algorithm has a source and each source has an algorithm."""
    for name in chosen:
        if name not in ALGORITHMS:
            raise ValueError(f"{name!r} is not a supported algorithm; choose from {', '.join(ALGORITHMS)}")
        if not any(name in offered for offered in offers.values()):
            given = " and ".join(f"a {source} ({', '.join(offered)})" for source, offered in offers.items() if offered)
            raise ValueError(f"{name} needs another kind of key than {given}; change the key or the algorithms")
    for source, offered in offers.items():
        if offered and not set(offered) & set(chosen):
            wanted = " or ".join(offered)
            raise ValueError(f"a {source} is given, but no algorithm uses it; add {wanted} or leave the {source} out")


def _fitting(keys: Sequence[Key], algorithm: str, kid: str | None) -> Sequence[Key]:
    fit = [key for key in keys if key.algorithm == algorithm and (kid is None or key.kid == kid)]
    return fit[:_MAX_TRIED]


def read_secret(secret: bytes, algorithm: str) -> Key:
    """A secret as a key for HS256, HS384 or HS512. Raises ValueError where it is too short or a key of another kind."""
    need = _SECRET_BYTES[algorithm]
    if len(secret) < need:
        raise ValueError(f"the secret has {len(secret)} bytes, {algorithm} needs {need}; try: openssl rand -hex {need}")
    for text in (secret, _from_base64(secret)):
        try:
            if text:
                # It recognises public keys in every encoding. With a public key as the secret, everyone could sign.
                HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(text)
        except InvalidKeyError:
            raise ValueError("the secret is a key or certificate of another kind; give it as the public key") from None
    # PyJWT does not check a JWK again. Bytes it would search for a public key with every token.
    encoded = urlsafe_b64encode(secret).rstrip(b"=").decode()
    return Key(algorithm, PyJWK({"kty": "oct", "k": encoded}, algorithm))


def _from_base64(text: bytes) -> bytes:
    """The bytes that `text` encodes in base64; empty where it is not base64.

    A PEM file without its first and last line looks like a secret.
    """
    try:
        return b64decode(b"".join(text.split()), validate=True)
    except ValueError:
        return b""


def read_public_key(pem: str) -> Key:
    """A public key from PEM. Raises ValueError where it is no public key, weak, or for no supported algorithm."""
    if "PRIVATE KEY-----" in pem:
        raise ValueError("the public key is a private key; give its public half: openssl pkey -pubout")
    if "CERTIFICATE-----" in pem:
        raise ValueError("the public key is a certificate; give its public key: openssl x509 -pubkey -noout")
    if pem.count("-----BEGIN") != 1:
        raise ValueError("the public key must be exactly one key in PEM; for several, publish a JWKS")
    try:
        material = load_pem_public_key(pem.strip().encode())
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("the public key is not readable as PEM; check for missing lines or line breaks") from None
    key = _usable(material)
    if key is None:
        raise ValueError("the public key must be RSA of 2048 to 8192 bits, EC on P-256, or Ed25519")
    return key


def read_key_set(body: bytes) -> Sequence[Key]:
    """The usable keys of a JWK set. Raises ValueError where there are none, or more than a hundred."""
    # UTF-8 as RFC 8259 demands. Of bytes the parser would guess the encoding, and see other brackets than we count.
    text = body.decode("utf-8-sig")
    if deeper_than(text, MAX_DEPTH):
        raise ValueError(f"nested deeper than {MAX_DEPTH} arrays and objects")
    document = json.loads(text)
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise ValueError("not a key set: it has no list called keys")
    if len(entries) > _MAX_KEYS:
        raise ValueError(f"more than {_MAX_KEYS} keys")
    keys = [key for key in map(_published_key, entries) if key is not None]
    if not keys:
        raise ValueError(f"none of its {len(entries)} keys is usable")
    return keys


def _published_key(entry: object) -> Key | None:
    """The key in one JWK. None where it is not for tokens: issuers publish keys for other uses in the same set."""
    if not isinstance(entry, dict) or entry.get("use", "sig") != "sig":
        return None
    operations, kid = entry.get("key_ops", ["verify"]), entry.get("kid")
    if not isinstance(operations, list) or "verify" not in operations:
        return None
    if "kid" in entry and not (isinstance(kid, str) and len(kid) <= MAX_KID):
        return None
    try:
        key = _usable(PyJWK(entry).key, kid)
    except (PyJWTError, ValueError, TypeError, UnsupportedAlgorithm):
        return None
    return key if key is not None and entry.get("alg", key.algorithm) == key.algorithm else None


def _usable(material: object, kid: str | None = None) -> Key | None:
    """The key with its algorithm. None where it is weak, private or of a kind that is not supported."""
    match material:
        case RSAPublicKey() if material.key_size in _RSA_BITS:
            return Key("RS256", material, kid)
        case EllipticCurvePublicKey() if isinstance(material.curve, SECP256R1):
            return Key("ES256", material, kid)
        case Ed25519PublicKey():
            return Key("EdDSA", material, kid)
        case _:
            return None
