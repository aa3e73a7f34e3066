"""Where the keys come from: a shared secret, a public key, or a set of keys that an issuer publishes.

Which algorithm a key is for follows from the key and the configuration, never from a token, and every algorithm has
exactly one source: that is what rules out key confusion. Keys are examined here, once; a weak one is an error.
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

from forestay.edge.tokens.jwks import PACE, JwksCache, Pace

Material = PyJWK | RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey

# RFC 7518 §3.2: a secret shorter than the hash is what an attacker guesses instead of it. Bytes, by algorithm.
_SECRET: Final = {"HS256": 32, "HS384": 48, "HS512": 64}
_PUBLIC: Final = ("RS256", "ES256", "EdDSA")
SECRET_ALGORITHMS: Final = tuple(_SECRET)
ALGORITHMS: Final = (*SECRET_ALGORITHMS, *_PUBLIC)
"""Everything that may be configured."""

MAX_KID: Final = 256
_MAX_KEYS: Final = 100
# Below, it can be factored; above, one check costs milliseconds, and OpenSSL has a limit of its own.
_RSA_BITS: Final = range(2048, 8193)
# Without a `kid` every fitting key is tried; more than some would be work that a stranger orders.
_MAX_TRIED: Final = 10


@dataclass(frozen=True, slots=True, eq=False)
class Key:
    """One key, and the one algorithm that it is for."""

    algorithm: str
    material: Material = field(repr=False)
    kid: str | None = None


class Keys:
    """All keys that tokens may be signed with: a secret, a public key or a key set, or a secret and one of the others.

    Raises ValueError, saying what to do, where sources and algorithms do not fit. No algorithms mean the usual ones:
    HS256 for a secret, the key's own for a public key, and RS256, ES256 and EdDSA for a key set.
    """

    def __init__(
        self,
        *,
        secret: bytes | None = None,
        public_key: str | None = None,
        jwks_url: str | None = None,
        algorithms: Sequence[str] = (),
        pace: Pace = PACE,
    ) -> None:
        if public_key is not None and jwks_url is not None:
            raise ValueError("a public key and a JWKS URL are both given, and only one can be meant; leave one out")
        known = None if public_key is None else read_public_key(public_key)
        offers = {
            "secret": SECRET_ALGORITHMS if secret is not None else (),
            "public key": (known.algorithm,) if known is not None else (),
            "JWKS URL": _PUBLIC if jwks_url is not None else (),
        }
        if not any(offers.values()):
            raise ValueError("no token key; give a secret, a public key or a JWKS URL")
        usual = [*(["HS256"] if secret is not None else []), *offers["public key"], *offers["JWKS URL"]]
        chosen = tuple(dict.fromkeys(algorithms or usual))
        _check_fit(chosen, offers)

        self.algorithms = chosen
        """What a token may be signed with."""
        self._own = {} if known is None else {known.algorithm: (known,)}
        if secret is not None:
            self._own |= {name: (read_secret(secret, name),) for name in chosen if name in _SECRET}
        self._published = None if jwks_url is None else JwksCache(jwks_url, read_key_set, pace)

    async def find(self, algorithm: str, kid: str | None) -> Sequence[Key]:
        """The keys worth trying, none for an algorithm that was not configured. Does not suspend for a key of our own.

        Raises Refusal with UNAVAILABLE where an issuer's keys cannot be had.
        """
        if algorithm in self._own or self._published is None or algorithm not in self.algorithms:
            return self._own.get(algorithm, ())
        found = _fitting(await self._published.get(), algorithm, kid)
        return found or _fitting(await self._published.renewed(), algorithm, kid)

    async def close(self) -> None:
        if self._published is not None:
            await self._published.close()


def _check_fit(chosen: Sequence[str], offers: Mapping[str, Sequence[str]]) -> None:
    """Every algorithm has a source, every source an algorithm. Raises ValueError."""
    for name in chosen:
        if name not in ALGORITHMS:
            raise ValueError(f"{name!r} is not an algorithm for tokens here; choose from {', '.join(ALGORITHMS)}")
        if not any(name in offered for offered in offers.values()):
            given = " and ".join(f"a {source} ({', '.join(offered)})" for source, offered in offers.items() if offered)
            raise ValueError(f"{name} needs another kind of key than {given}; change the key or the algorithms")
    for source, offered in offers.items():
        if offered and not set(offered) & set(chosen):
            wanted = " or ".join(offered)
            raise ValueError(f"a {source} is given, but no algorithm for it; add {wanted} or leave the {source} out")


def _fitting(keys: Sequence[Key], algorithm: str, kid: str | None) -> Sequence[Key]:
    fit = [key for key in keys if key.algorithm == algorithm and (kid is None or key.kid == kid)]
    return fit[:_MAX_TRIED]


def read_secret(secret: bytes, algorithm: str) -> Key:
    """A secret for one of HS256, HS384 and HS512. Raises ValueError where it is weak, or no secret at all."""
    if len(secret) < _SECRET[algorithm]:
        need = _SECRET[algorithm]
        raise ValueError(f"the secret has {len(secret)} bytes, {algorithm} needs {need}; try: openssl rand -hex {need}")
    for text in (secret, _from_base64(secret)):
        try:
            if text:
                # Knows a public key in any dress: as a secret it would let everybody sign.
                HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(text)
        except InvalidKeyError:
            raise ValueError("the secret is a key or certificate of another kind; give it as the public key") from None
    # As a JWK it counts as examined: PyJWT would otherwise look for a public key in it again for every token.
    encoded = urlsafe_b64encode(secret).rstrip(b"=").decode()
    return Key(algorithm, PyJWK({"kty": "oct", "k": encoded}, algorithm))


def _from_base64(text: bytes) -> bytes:
    """What `text` says in base64, or nothing: a PEM file without its first and last line looks like a secret."""
    try:
        return b64decode(b"".join(text.split()), validate=True)
    except ValueError:
        return b""


def read_public_key(pem: str) -> Key:
    """A public key in PEM. Raises ValueError where it is another thing, weak, or for none of our algorithms."""
    if "PRIVATE KEY-----" in pem:
        raise ValueError("the public key is a private key; give its public half: openssl pkey -pubout")
    if "CERTIFICATE-----" in pem:
        raise ValueError("the public key is a certificate; give the key in it: openssl x509 -pubkey -noout")
    if pem.count("-----BEGIN") != 1:
        raise ValueError("the public key must be exactly one key in PEM; for several, publish a JWKS")
    try:
        material = load_pem_public_key(pem.strip().encode())
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("the public key is not readable as PEM; look for missing lines or line breaks") from None
    key = _judged(material)
    if key is None:
        raise ValueError("the public key must be RSA of 2048 to 8192 bits, EC on P-256, or Ed25519")
    return key


def read_key_set(body: bytes) -> Sequence[Key]:
    """The usable keys of a JWK set. Raises ValueError where there are none, or far too many."""
    try:
        document = json.loads(body)
    except RecursionError:
        raise ValueError("nested too deeply for a key set") from None
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise ValueError("not a key set: there is no list called keys")
    if len(entries) > _MAX_KEYS:
        raise ValueError(f"more than {_MAX_KEYS} keys")
    keys = [key for key in map(_published_key, entries) if key is not None]
    if not keys:
        raise ValueError(f"none of its {len(entries)} keys is usable")
    return keys


def _published_key(entry: object) -> Key | None:
    """One JWK, or None where it is not for us: issuers publish keys for other things in the same set."""
    if not isinstance(entry, dict) or entry.get("use", "sig") != "sig":
        return None
    operations, kid = entry.get("key_ops", ["verify"]), entry.get("kid")
    if not isinstance(operations, list) or "verify" not in operations:
        return None
    if "kid" in entry and not (isinstance(kid, str) and len(kid) <= MAX_KID):
        return None
    try:
        key = _judged(PyJWK(entry).key, kid)
    except (PyJWTError, ValueError, TypeError, UnsupportedAlgorithm):
        return None
    return key if key is not None and entry.get("alg", key.algorithm) == key.algorithm else None


def _judged(material: object, kid: str | None = None) -> Key | None:
    """The key with the algorithm it is for, or None where it is weak, private or of a kind that we do not take."""
    match material:
        case RSAPublicKey() if material.key_size in _RSA_BITS:
            return Key("RS256", material, kid)
        case EllipticCurvePublicKey() if isinstance(material.curve, SECP256R1):
            return Key("ES256", material, kid)
        case Ed25519PublicKey():
            return Key("EdDSA", material, kid)
        case _:
            return None
