"""Reads the keys that verify tokens: a shared secret, a public key, or a key set that an issuer publishes.

The key and the configuration decide which algorithms a key is for, never a token. Each algorithm has one source, which
rules out key confusion. Keys are checked here, once; a weak key is an error.
"""

from base64 import b64decode
from collections.abc import Mapping, Sequence
from typing import Final

import structlog
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt.algorithms import HMACAlgorithm
from jwt.exceptions import InvalidKeyError

from forestay.core.ports.tasks import Tasks
from forestay.core.ports.verifier import PublishedKeys
from forestay.edge.quoted import quoted
from forestay.edge.tokens.algorithms import (
    ALGORITHMS,
    PUBLIC_ALGORITHMS,
    SECRET_ALGORITHMS,
    SECRET_BYTES,
    USUAL_OF_A_KEY_SET,
    algorithms_of,
    usual_of,
)
from forestay.edge.tokens.jwks import JwksCache, KeySetAddress
from forestay.edge.tokens.key_set import Key, read_key_set

log = structlog.get_logger(__name__)

# Where several keys fit, each is tried. The limit bounds the work that an unauthenticated caller causes.
_MAX_TRIED: Final = 10


class Keys:
    """All keys that tokens may be signed with: a secret, a public key or a key set, or a secret and one of the others.

    Without `algorithms` the usual ones are accepted: HS256 for a secret, the key's own for a public key, and RS256,
    ES256 and EdDSA for a key set. Raises ValueError, with what to do, where sources and algorithms do not fit.
    """

    def __init__(
        self,
        tasks: Tasks,
        *,
        secrets: Sequence[bytes] = (),
        public_key: str | None = None,
        key_set: KeySetAddress | None = None,
        algorithms: Sequence[str] = (),
    ) -> None:
        """`secrets`: the current one, and behind it the previous one while secrets are turned."""
        if public_key is not None and key_set is not None:
            raise ValueError(
                "a public key and a JWKS URL are both given; leave one out, because each algorithm has one source"
            )
        known = None if public_key is None else read_public_key(public_key)
        offers = {
            "secret": SECRET_ALGORITHMS if secrets else (),
            "public key": known.algorithms if known is not None else (),
            "JWKS URL": PUBLIC_ALGORITHMS if key_set is not None else (),
        }
        if not any(offers.values()):
            raise ValueError("there is no key to verify tokens; give a secret, a public key or a JWKS URL")
        usual = [
            *(["HS256"] if secrets else []),
            *usual_of(offers["public key"]),
            *(USUAL_OF_A_KEY_SET if key_set is not None else []),
        ]
        chosen = tuple(dict.fromkeys(algorithms or usual))
        _check_fit(chosen, offers)

        self.algorithms = chosen
        """The algorithms that a token may be signed with."""
        self._own: dict[str, Sequence[Key]] = {}
        if known is not None:
            self._own |= {name: (known,) for name in known.algorithms if name in chosen}
        self._own |= {name: _read_secrets(secrets, name) for name in chosen if name in SECRET_BYTES}
        self._published = None if key_set is None else JwksCache(key_set, self._read_published, tasks)
        self._unused: list[str] = []

    async def find(self, algorithm: str, kid: str | None) -> Sequence[Key]:
        """The keys to try; none for an algorithm that is not configured. Does not suspend for a configured key.

        Raises Refusal with UNAVAILABLE where an issuer's keys are not available.
        """
        published = self._of_issuer(algorithm)
        if published is None:
            return self._own.get(algorithm, ())
        # What this caller waits for is as new as a further request would be.
        new = published.empty
        found = _fitting(await published.get(), algorithm, kid)
        return found if found or new else _fitting(await published.renewed(kid), algorithm, kid)

    async def find_newer(self, algorithm: str, kid: str | None, tried: Sequence[Key]) -> Sequence[Key]:
        """The keys to try where none of `tried` verifies a token: those of a newer key set.

        None where the token's `kid` names one of them: such a token is not signed with that key, and never will be.
        """
        published = self._of_issuer(algorithm)
        if published is None or (kid is not None and any(key.kid == kid for key in tried)):
            return ()
        return _fitting(await published.renewed(kid), algorithm, kid)

    def examine(self, body: bytes) -> tuple[int, Sequence[str]]:
        """How many keys of a published document verify tokens, and why the others do not.

        Raises ValueError where none of them does.
        """
        keys, unused = self._judged(body)
        return len(self._accepted_of(keys)), unused

    def start(self) -> None:
        """Begin to fetch published keys, so that no handshake waits for them."""
        if self._published is not None:
            self._published.start()

    @property
    def missing(self) -> str | None:
        """Why no token at all can be verified now; None where some can. Not more than a sentence."""
        published = self._published
        if published is None or self._own or not published.empty:
            return None
        return f"the issuer's keys are not known: {published.failure or 'the first request has no answer yet'}"

    @property
    def published(self) -> PublishedKeys | None:
        """What is known of the issuer's key set; None where none is configured."""
        if self._published is None:
            return None
        return PublishedKeys(len(self._accepted_of(self._published.known or ())), self._published.age)

    async def close(self) -> None:
        """Stop fetching published keys."""
        if self._published is not None:
            await self._published.close()

    def _of_issuer(self, algorithm: str) -> JwksCache[Sequence[Key]] | None:
        """The issuer's keys, where they are the source of `algorithm`."""
        return self._published if algorithm in self.algorithms and algorithm not in self._own else None

    def _read_published(self, body: bytes) -> Sequence[Key]:
        """The keys of a document. Logs why others are not used, once for each document that differs in this.

        Raises ValueError where none of them is for an accepted algorithm. Then the keys of the last document stay.
        """
        keys, unused = self._judged(body)
        if unused != self._unused:
            log.info("token keys not used", keys=unused)
            self._unused = unused
        return keys

    def _judged(self, body: bytes) -> tuple[Sequence[Key], list[str]]:
        read = read_key_set(body)
        not_accepted = self._not_accepted(read.keys)
        if not self._accepted_of(read.keys):
            raise ValueError(f"none of its keys is usable; {'; '.join(not_accepted[:3])}")
        return read.keys, [*read.unused, *not_accepted]

    def _accepted_of(self, keys: Sequence[Key]) -> Sequence[Key]:
        """Those of an issuer's keys that tokens are verified with."""
        ours = set(self.algorithms) - self._own.keys()
        return [key for key in keys if ours.intersection(key.algorithms)]

    def _not_accepted(self, keys: Sequence[Key]) -> list[str]:
        accepted = ", ".join(self.algorithms)
        return [
            f"{'a key without a kid' if key.kid is None else 'key ' + quoted(key.kid)}: it is for "
            f"{' '.join(key.algorithms)}, but FORESTAY_JWT_ALGORITHMS accepts {accepted}"
            for key in keys
            if not set(key.algorithms) & set(self.algorithms)
        ]


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
    """The keys that may have signed a token: first those that it names, then those that have no name themselves."""
    fit = [key for key in keys if algorithm in key.algorithms and (kid is None or key.kid in (kid, None))]
    return sorted(fit, key=lambda key: key.kid is None)[:_MAX_TRIED]


def _read_secrets(secrets: Sequence[bytes], algorithm: str) -> Sequence[Key]:
    keys = []
    for secret, name in zip(secrets, ("secret", "previous secret"), strict=False):
        try:
            keys.append(read_secret(secret, algorithm))
        except ValueError as error:
            raise ValueError(str(error).replace("the secret", f"the {name}", 1)) from None
    return tuple(keys)


def read_secret(secret: bytes, algorithm: str) -> Key:
    """A secret as a key for HS256, HS384 or HS512. Raises ValueError where it is too short or a key of another kind."""
    need = SECRET_BYTES[algorithm]
    if len(secret) < need:
        raise ValueError(f"the secret has {len(secret)} bytes, {algorithm} needs {need}; try: openssl rand -hex {need}")
    for text in (secret, _from_base64(secret)):
        try:
            if text:
                # It recognises public keys in every encoding. With a public key as the secret, everyone could sign.
                HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(text)
        except InvalidKeyError:
            raise ValueError("the secret is a key or certificate of another kind; give it as the public key") from None
    return Key((algorithm,), secret)


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
    try:
        algorithms = algorithms_of(material)
    except ValueError as error:
        expected = "give RSA of 2048 to 8192 bits, EC on P-256, P-384 or P-521, or Ed25519"
        raise ValueError(f"the public key is not usable: {error}; {expected}") from None
    return Key(algorithms, material)  # type: ignore[arg-type]  # algorithms_of has checked its kind
