"""Lists the algorithms that tokens may be signed with, and decides which of them a key is for.

Nothing else decides: the key's own kind and the settings choose, never a token.
"""

from collections.abc import Mapping
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, SECP384R1, SECP521R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import Algorithm, OKPAlgorithm, get_default_algorithms

Material = bytes | RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey
"""A secret, or a public key."""

SECRET_BYTES: Final = {"HS256": 32, "HS384": 48, "HS512": 64}
"""The least bytes of a secret, by algorithm. RFC 7518 §3.2: a shorter one is easier to guess than the hash."""

SECRET_ALGORITHMS: Final = tuple(SECRET_BYTES)

_RSA: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
# RFC 9864 gives the algorithm of Ed25519 keys a name of its own. Both names mean the same signature.
_ED25519: Final = ("EdDSA", "Ed25519")
_CURVES: Final = {SECP256R1: "ES256", SECP384R1: "ES384", SECP521R1: "ES512"}

PUBLIC_ALGORITHMS: Final = (*_RSA, *_CURVES.values(), *_ED25519)
ALGORITHMS: Final = (*SECRET_ALGORITHMS, *PUBLIC_ALGORITHMS)
"""The algorithms that may be configured."""

USUAL_OF_A_KEY_SET: Final = ("RS256", "ES256", *_ED25519)
"""What a key set is for where the settings name no algorithm."""

# Libraries choose the algorithm by the key where nobody names one: jjwt takes HS384 for a secret of 48 bytes, and HS512
# for one of 64, such as the text of `openssl rand -base64 48`.
HOW_TO_ACCEPT: Final = (
    "the tokens are signed with {alg}, and FORESTAY_JWT_ALGORITHMS accepts {accepted}; if they are your own, set it to "
    "{alg}, or have their issuer name an accepted algorithm (jjwt: signWith(key, Jwts.SIG.HS256))"
)

# A shorter key can be factored. With a longer one, each check costs milliseconds; OpenSSL has a limit too.
_RSA_BITS: Final = range(2048, 8193)


_KNOWN: Final = get_default_algorithms() | {"Ed25519": OKPAlgorithm()}
_VERIFIERS: Final[Mapping[str, Algorithm]] = {name: _KNOWN[name] for name in ALGORITHMS}


def is_signed(content: bytes, algorithm: str, material: Any, signature: bytes) -> bool:  # noqa: ANN401  # of any kind
    """Whether `signature` is the one that the owner of `material` made of `content` with `algorithm`."""
    return bool(_VERIFIERS[algorithm].verify(content, material, signature))


def algorithms_of(material: object) -> tuple[str, ...]:
    """The algorithms that a public key can be for, the usual one first. Raises ValueError, with what is wrong."""
    match material:
        case RSAPublicKey():
            if material.key_size not in _RSA_BITS:
                raise ValueError(f"it is RSA of {material.key_size} bits, but 2048 to 8192 bits are accepted")
            return _RSA
        case EllipticCurvePublicKey():
            name = _CURVES.get(type(material.curve))
            if name is None:
                raise ValueError(f"its curve is {material.curve.name}, but P-256, P-384 and P-521 are accepted")
            return (name,)
        case Ed25519PublicKey():
            return _ED25519
        case _:
            raise ValueError("it is not RSA, EC or Ed25519")


def usual_of(algorithms: tuple[str, ...]) -> tuple[str, ...]:
    """Those of a key's `algorithms` that are accepted where the settings name none."""
    return algorithms if algorithms == _ED25519 else algorithms[:1]
