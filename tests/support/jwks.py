"""An issuer: keys of every kind, tokens signed with them, and an endpoint that publishes them well or badly."""

import hashlib
import hmac
import json
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm, get_default_algorithms

from forestay.edge.tokens.jwks import TIMES, KeySetAddress, RenewalTimes
from forestay.edge.tokens.keys import Keys
from tests.support.tasks import PlainTasks

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey

SECRET = b"a secret of more than thirty-two bytes"
LONG_SECRET = SECRET * 2
_MAKERS: dict[str, Any] = get_default_algorithms() | {"Ed25519": OKPAlgorithm()}


def keys(
    *,
    secret: bytes | None = None,
    public_key: str | None = None,
    jwks_url: str | None = None,
    algorithms: Sequence[str] = (),
    times: RenewalTimes = TIMES,
) -> Keys:
    """Keys from one source of each kind."""
    address = None if jwks_url is None else KeySetAddress(jwks_url, times=times)
    secrets = () if secret is None else (secret,)
    return Keys(PlainTasks(), secrets=secrets, public_key=public_key, key_set=address, algorithms=algorithms)


@dataclass(frozen=True, slots=True)
class Signer:
    """A private key, and what is made with it."""

    private: PrivateKey
    algorithm: str

    def token(self, claims: Mapping[str, object], **headers: object) -> str:
        return jwt.encode(dict(claims), self.private, self.algorithm, headers=headers)

    def signed(self, header: Mapping[str, Any], claims: object, *, named: str | None = None) -> str:
        """A token of these parts, signed with the `alg` of its header. `named`: what the header says instead."""
        content = f"{_part(dict(header) | ({} if named is None else {'alg': named}))}.{_part(claims)}"
        return f"{content}.{_part(_MAKERS[header['alg']].sign(content.encode(), self.private))}"

    @property
    def pem(self) -> str:
        return self._public(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    @property
    def der(self) -> bytes:
        return self._public(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def jwk(self, **more: object) -> dict[str, Any]:
        """The public key as an issuer publishes it. A member that is None is left out."""
        public = self.private.public_key()
        entry: dict[str, Any]
        if isinstance(public, rsa.RSAPublicKey):
            entry = RSAAlgorithm.to_jwk(public, as_dict=True)
        elif isinstance(public, ec.EllipticCurvePublicKey):
            entry = ECAlgorithm.to_jwk(public, as_dict=True)
        else:
            entry = OKPAlgorithm.to_jwk(public, as_dict=True)
        return {name: value for name, value in (entry | more).items() if value is not None}

    def _public(self, encoding: Encoding, form: PublicFormat) -> bytes:
        return self.private.public_key().public_bytes(encoding, form)


@cache
def rsa_signer(name: str = "", bits: int = 2048) -> Signer:
    """Made once per name, because an RSA key takes long to make."""
    return Signer(rsa.generate_private_key(public_exponent=65537, key_size=bits), "RS256")


@cache
def ec_signer(name: str = "") -> Signer:
    return Signer(ec.generate_private_key(ec.SECP256R1()), "ES256")


@cache
def ed_signer(name: str = "") -> Signer:
    return Signer(ed25519.Ed25519PrivateKey.generate(), "EdDSA")


def forged(header: object, claims: object, secret: bytes = SECRET, *, digest: str = "sha256") -> str:
    """A token of exactly these parts, with raw bytes and a valid HMAC."""
    signed = f"{_part(header)}.{_part(claims)}"
    return f"{signed}.{_part(hmac.new(secret, signed.encode(), getattr(hashlib, digest)).digest())}"


def _part(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Endpoint:
    """A URL on loopback with configurable answers, which counts requests."""

    url: str = ""
    asked: list[Mapping[str, str]] = field(default_factory=list)
    """The headers of every request."""
    answer: Answer = field(init=False)

    def __post_init__(self) -> None:
        self.publish()

    def publish(self, *keys: object, headers: Mapping[str, str] | None = None) -> None:
        self.say(json.dumps({"keys": keys}), headers=headers)

    def say(self, body: str | bytes, *, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        raw = body.encode() if isinstance(body, str) else body

        async def answer(request: web.Request) -> web.StreamResponse:
            return web.Response(body=raw, status=status, headers=headers)

        self.answer = answer

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.headers)
        return await self.answer(request)


@asynccontextmanager
async def endpoint() -> AsyncIterator[Endpoint]:
    served = Endpoint()
    app = web.Application()
    app.router.add_get("/{path:.*}", served.handle)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    served.url = f"http://127.0.0.1:{runner.addresses[0][1]}/keys"
    try:
        yield served
    finally:
        await runner.cleanup()
