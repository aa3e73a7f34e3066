"""Keys are read from a secret, a public key, or a key set that an issuer publishes."""

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import OKPAlgorithm
from structlog.testing import capture_logs

from forestay.edge.tokens.jwks import RenewalTimes
from forestay.edge.tokens.key_set import Key, KeySet, read_key_set
from forestay.edge.tokens.keys import Keys, read_public_key, read_secret
from forestay.edge.tokens.verifier import NOT_OURS, TokenRules, TokenVerifier
from forestay.protocol.codes import ErrorCode, Refusal
from tests.support.jwks import (
    LONG_SECRET,
    SECRET,
    Endpoint,
    Signer,
    ec_signer,
    ed_signer,
    endpoint,
    forged,
    keys,
    rsa_signer,
)
from tests.support.tasks import PlainTasks

NOW = 1_800_000_000.0
CLAIMS = {"sub": "ada", "exp": NOW + 60}
ISSUER = "https://issuer.example/keys"


def verifier(known: Keys) -> TokenVerifier:
    return TokenVerifier(known, TokenRules("**:r"), clock=lambda: NOW)


async def refused(by: TokenVerifier, token: str) -> str:
    with pytest.raises(Refusal) as caught:
        await by.verify(token)
    assert caught.value.code is ErrorCode.BAD_TOKEN
    return caught.value.message


@pytest.fixture
async def issuer() -> AsyncIterator[Endpoint]:
    async with endpoint() as issuer:
        yield issuer


PRIVATE = ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
ED_PRIVATE = ed25519.Ed25519PrivateKey.generate()
SECP256K1 = Signer(ec.generate_private_key(ec.SECP256K1()), "ES256K")
P521 = Signer(ec.generate_private_key(ec.SECP521R1()), "ES512")
P384 = Signer(ec.generate_private_key(ec.SECP384R1()), "ES384")
ED448 = Signer(ed448.Ed448PrivateKey.generate(), "EdDSA")
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
PKCS1 = rsa_signer().private.public_key().public_bytes(Encoding.PEM, PublicFormat.PKCS1)
SSH = rsa_signer().private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)


@pytest.mark.parametrize(
    ("sources", "algorithms"),
    [
        ({"secret": SECRET}, {"HS256"}),
        ({"public_key": rsa_signer().pem}, {"RS256"}),
        ({"public_key": ec_signer().pem}, {"ES256"}),
        ({"public_key": ed_signer().pem}, {"EdDSA", "Ed25519"}),
        ({"public_key": P384.pem}, {"ES384"}),
        ({"public_key": P521.pem}, {"ES512"}),
        ({"public_key": rsa_signer().pem, "algorithms": ["PS384", "RS512"]}, {"PS384", "RS512"}),
        ({"jwks_url": ISSUER}, {"RS256", "ES256", "EdDSA", "Ed25519"}),
        ({"secret": SECRET, "jwks_url": ISSUER}, {"HS256", "RS256", "ES256", "EdDSA", "Ed25519"}),
        ({"secret": SECRET, "public_key": ec_signer().pem}, {"HS256", "ES256"}),
        ({"secret": LONG_SECRET, "algorithms": ["HS512", "HS384"]}, {"HS384", "HS512"}),
        ({"jwks_url": ISSUER, "algorithms": ["ES256"]}, {"ES256"}),
    ],
    ids=str,
)
def test_the_kind_of_key_sets_the_default_algorithms(sources: dict[str, Any], algorithms: set[str]) -> None:
    """Without a list, each key accepts the usual algorithm of its kind. A list replaces it."""
    assert set(keys(**sources).algorithms) == algorithms


# What is configured, and a word of the way out that the error names.
MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({}, "give a secret, a public key or a JWKS URL"),
    "both public": ({"public_key": rsa_signer().pem, "jwks_url": ISSUER}, "leave one out"),
    "algorithm none": ({"secret": SECRET, "algorithms": ["none"]}, "choose from HS256"),
    "algorithm ES256K": ({"public_key": rsa_signer().pem, "algorithms": ["ES256K"]}, "choose from HS256"),
    "algorithm in small letters": ({"secret": SECRET, "algorithms": ["hs256"]}, "choose from HS256"),
    "algorithms in one string": ({"secret": SECRET, "algorithms": "HS256"}, "choose from HS256"),
    "RS256 for a secret": ({"secret": SECRET, "algorithms": ["RS256"]}, "change the key or the algorithms"),
    "HS256 for a key": ({"public_key": rsa_signer().pem, "algorithms": ["HS256"]}, "change the key or the algorithms"),
    "ES256 for RSA": ({"public_key": rsa_signer().pem, "algorithms": ["ES256"]}, "change the key or the algorithms"),
    "HS256 for a key set": ({"jwks_url": ISSUER, "algorithms": ["HS256"]}, "change the key or the algorithms"),
    "a secret for nothing": ({"secret": SECRET, "jwks_url": ISSUER, "algorithms": ["RS256"]}, "leave the secret out"),
    "a key set for nothing": ({"secret": SECRET, "jwks_url": ISSUER, "algorithms": ["HS256"]}, "leave the JWKS URL"),
    "an empty secret": ({"secret": b""}, "openssl rand"),
    "a short secret": ({"secret": b"x" * 31}, "openssl rand"),
    "a secret too short for HS384": ({"secret": b"x" * 47, "algorithms": ["HS384"]}, "openssl rand -hex 48"),
    "a secret too short for HS512": ({"secret": b"x" * 63, "algorithms": ["HS512"]}, "openssl rand -hex 64"),
    **{
        f"as a secret: {name}": ({"secret": secret}, "give it as the public key")
        for name, secret in {
            "PEM": rsa_signer().pem.encode(),
            "PEM after spaces": b" \n\t" + rsa_signer().pem.encode(),
            "PEM of PKCS 1": PKCS1,
            "PEM without its frame": "".join(rsa_signer().pem.splitlines()[1:-1]).encode(),
            "PEM without its frame, in lines": "\n".join(ec_signer().pem.splitlines()[1:-1]).encode(),
            "a private key": PRIVATE,
            "DER": rsa_signer().der,
            "SSH": SSH,
            "a JWK": json.dumps(rsa_signer().jwk()).encode(),
            "a key set": json.dumps({"keys": [rsa_signer().jwk()]}).encode(),
        }.items()
    },
    "a private key": ({"public_key": PRIVATE.decode()}, "openssl pkey -pubout"),
    "a certificate": ({"public_key": CERTIFICATE}, "openssl x509"),
    "two keys": ({"public_key": rsa_signer().pem + ec_signer().pem}, "exactly one"),
    "a JWK for PEM": ({"public_key": json.dumps(rsa_signer().jwk())}, "exactly one"),
    "an empty key": ({"public_key": ""}, "exactly one"),
    "a cut key": ({"public_key": rsa_signer().pem[:200]}, "not readable"),
    "a key with a surrogate": ({"public_key": rsa_signer().pem + "\ud800"}, "not readable"),
    "a short RSA key": ({"public_key": rsa_signer("short", 1024).pem}, "2048 to 8192 bits"),
    "another curve": ({"public_key": SECP256K1.pem}, "P-256"),
    "another Edwards curve": ({"public_key": ED448.pem}, "Ed25519"),
    **{
        f"the address {url!r}": ({"jwks_url": url}, remedy)
        for url, remedy in {
            "": "https",
            "issuer.example/keys": "https",
            "file:///etc/keys": "https",
            "data:application/json,{}": "https",
            "ftp://issuer.example/keys": "https",
            "https:///keys": "https",
            "http://issuer.example/keys": "use https",
            "http://127.0.0.1.issuer.example/keys": "use https",
            "http://10.0.0.1/keys": "use https",
            "https://user:word@issuer.example/keys": "leave it out",
            "https://issuer.example:99999/keys": r".",
            "https://[::1/keys": r".",
        }.items()
    },
}


@pytest.mark.parametrize(("sources", "remedy"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_in_the_settings_is_named_with_its_remedy(sources: dict[str, Any], remedy: str) -> None:
    """Weak keys, wrong kinds of keys and algorithms without a key are errors at the start, not warnings."""
    with pytest.raises(ValueError, match=remedy):
        keys(**sources)


@pytest.mark.parametrize("url", ["http://localhost/k", "http://127.0.0.1:8/k", "http://127.9.9.9/k", "http://[::1]/k"])
def test_plain_http_is_allowed_on_loopback(url: str) -> None:
    """No one can change the keys on the way there."""
    assert keys(jwks_url=url).algorithms


def test_no_key_shows_its_secret() -> None:
    """A key in a log line or a traceback shows only its algorithm and id."""
    assert repr(read_secret(SECRET, "HS256")) == "Key(algorithms=('HS256',), kid=None)"


def test_a_public_key_may_have_blank_lines_around() -> None:
    """Files and environment variables often add some."""
    assert read_public_key(f"\n  {rsa_signer().pem}\n\n").algorithms[0] == "RS256"


CONFUSIONS = {
    "PEM": rsa_signer().pem.encode(),
    "PEM stripped": rsa_signer().pem.strip().encode(),
    "PEM after spaces": b"  \n" + rsa_signer().pem.encode(),
    "PEM of PKCS 1": PKCS1,
    "DER": rsa_signer().der,
    "DER in base64": b64encode(rsa_signer().der),
    "a JWK": json.dumps(rsa_signer().jwk()).encode(),
    "nothing": b"",
}


@pytest.mark.parametrize("algorithm", ["HS256", "RS256"])
@pytest.mark.parametrize("secret", CONFUSIONS.values(), ids=CONFUSIONS)
async def test_a_public_key_is_not_accepted_as_a_secret(issuer: Endpoint, secret: bytes, algorithm: str) -> None:
    """An HMAC made with the public key is refused, in each encoding of it and under each algorithm name."""
    issuer.publish(rsa_signer().jwk(kid="k"))
    token = forged({"alg": algorithm, "kid": "k"}, CLAIMS, secret)
    sources = [
        keys(public_key=rsa_signer().pem),
        keys(public_key=rsa_signer().pem, secret=SECRET),
        keys(jwks_url=issuer.url),
        keys(jwks_url=issuer.url, secret=SECRET),
    ]
    for known in sources:
        await refused(verifier(known), token)
        await known.close()


async def test_each_algorithm_has_one_source(issuer: Endpoint) -> None:
    """With a secret and a key set, each verifies only the algorithms of its kind."""
    issuer.publish(ec_signer().jwk(kid="k"))
    by = verifier(keys(secret=SECRET, jwks_url=issuer.url))
    assert (await by.verify(forged({"alg": "HS256", "kid": "k"}, CLAIMS))).user == "ada"
    assert issuer.asked == []
    assert (await by.verify(ec_signer().token(CLAIMS, kid="k"))).user == "ada"
    assert await refused(by, ec_signer("other").token(CLAIMS, kid="k")) == NOT_OURS
    assert (await refused(by, forged({"alg": "HS384"}, CLAIMS, digest="sha384"))).startswith("algorithm not allowed")
    await by.close()


@pytest.mark.parametrize("signer", [rsa_signer(), ec_signer(), ed_signer()], ids=lambda each: each.algorithm)
async def test_published_keys_verify_the_signatures_of_their_owner(issuer: Endpoint, signer: Signer) -> None:
    """A token is verified with the published key that it names."""
    issuer.publish(*(each.jwk(kid=each.algorithm) for each in (rsa_signer(), ec_signer(), ed_signer())))
    by = verifier(keys(jwks_url=issuer.url))
    assert (await by.verify(signer.token(CLAIMS, kid=signer.algorithm))).user == "ada"
    await by.close()


async def test_a_published_key_does_not_add_an_algorithm(issuer: Endpoint) -> None:
    """A token with an algorithm that is not configured is refused without a request to the issuer."""
    issuer.publish(rsa_signer().jwk(kid="k"), ec_signer().jwk(kid="e"))
    by = verifier(keys(jwks_url=issuer.url, algorithms=["ES256"]))
    assert (await refused(by, rsa_signer().token(CLAIMS, kid="k"))).startswith("algorithm not allowed")
    assert await keys(jwks_url=issuer.url, algorithms=["ES256"]).find("RS256", "k") == ()
    assert issuer.asked == []


async def test_a_token_without_a_key_id_is_tried_with_keys_of_its_algorithm(issuer: Endpoint) -> None:
    """Some issuers name no key. At most ten keys are tried."""
    others = [rsa_signer(str(n % 3)).jwk(kid=f"k{n}") for n in range(9)]
    issuer.publish(ec_signer().jwk(kid="e"), *others, rsa_signer().jwk(kid="last"), rsa_signer("eleventh").jwk())
    by = verifier(keys(jwks_url=issuer.url))
    assert (await by.verify(rsa_signer().token(CLAIMS))).user == "ada"
    assert await refused(by, rsa_signer("eleventh").token(CLAIMS)) == NOT_OURS
    assert await refused(by, rsa_signer("unpublished").token(CLAIMS)) == NOT_OURS
    await by.close()


async def test_keys_with_the_same_id_are_chosen_by_algorithm(issuer: Endpoint) -> None:
    """Each key with that id and the algorithm of the token is tried."""
    issuer.publish(*(each.jwk(kid="k") for each in (rsa_signer("old"), rsa_signer(), ec_signer())))
    by = verifier(keys(jwks_url=issuer.url))
    for signer in (rsa_signer("old"), rsa_signer(), ec_signer()):
        assert (await by.verify(signer.token(CLAIMS, kid="k"))).user == "ada"
    await by.close()


async def test_two_issuers_with_the_same_key_id_are_not_mixed_up(issuer: Endpoint) -> None:
    """Keys belong to the address that published them, not to their id."""
    async with endpoint() as another:
        issuer.publish(ec_signer().jwk(kid="k"))
        another.publish(ec_signer("another").jwk(kid="k"))
        first, second = (
            verifier(keys(jwks_url=issuer.url)),
            verifier(keys(jwks_url=another.url)),
        )
        assert (await first.verify(ec_signer().token(CLAIMS, kid="k"))).user == "ada"
        assert (await second.verify(ec_signer("another").token(CLAIMS, kid="k"))).user == "ada"
        assert await refused(first, ec_signer("another").token(CLAIMS, kid="k")) == NOT_OURS
        assert await refused(second, ec_signer().token(CLAIMS, kid="k")) == NOT_OURS
        await first.close()
        await second.close()


async def test_a_token_cannot_cause_a_request_to_another_address(issuer: Endpoint) -> None:
    """Only the configured address is asked. Addresses in headers and claims are ignored."""
    async with endpoint() as elsewhere:
        issuer.publish(ec_signer().jwk(kid="k"))
        elsewhere.publish(ec_signer("thief").jwk(kid="k"))
        by = verifier(keys(jwks_url=issuer.url))
        claims = CLAIMS | {"iss": elsewhere.url, "aud": elsewhere.url}
        headers = {"jku": elsewhere.url, "x5u": elsewhere.url, "kid": "k"}
        assert await refused(by, ec_signer("thief").token(claims, **headers)) == NOT_OURS
        assert (await refused(by, ec_signer("thief").token(claims, kid=elsewhere.url))).startswith("unknown key")
        assert (await by.verify(ec_signer().token(claims, **headers))).user == "ada"
        assert elsewhere.asked == []
        await by.close()


async def test_a_rotated_key_is_found(issuer: Endpoint) -> None:
    """An unknown key is fetched when the cooldown allows it, and the withdrawn key is forgotten."""
    issuer.publish(ec_signer("old").jwk(kid="old"))
    by = verifier(keys(jwks_url=issuer.url, times=RenewalTimes(refill=0.0, missed=0.0)))
    assert (await by.verify(ec_signer("old").token(CLAIMS, kid="old"))).user == "ada"
    issuer.publish(ec_signer("new").jwk(kid="new"))
    assert (await by.verify(ec_signer("new").token(CLAIMS, kid="new"))).user == "ada"
    assert (await refused(by, ec_signer("old").token(CLAIMS, kid="old"))).startswith("unknown key")
    await by.close()


async def test_a_flood_of_unknown_keys_causes_one_request(issuer: Endpoint) -> None:
    """Invented key ids do not flood the issuer, and good tokens are accepted meanwhile."""
    issuer.publish(ec_signer().jwk(kid="k"))
    by = verifier(keys(jwks_url=issuer.url))
    flood = [refused(by, ec_signer("thief").token(CLAIMS, kid=f"k{n}")) for n in range(200)]
    good = [by.verify(ec_signer().token(CLAIMS, kid="k")) for _ in range(20)]
    answers = await asyncio.gather(*flood, *good)
    assert all(str(answer).startswith("unknown key") for answer in answers[:200])
    assert len(issuer.asked) == 1
    await by.close()


async def test_without_keys_the_refusal_is_unavailable(issuer: Endpoint) -> None:
    """While the endpoint fails, the refusal names a time to retry and does not call the token bad."""
    issuer.say("down", status=500)
    by = verifier(keys(jwks_url=issuer.url, times=RenewalTimes(retry=30.0)))
    for _ in range(5):
        with pytest.raises(Refusal) as caught:
            await by.verify(ec_signer().token(CLAIMS, kid="k"))
        assert caught.value.code is ErrorCode.UNAVAILABLE
        assert caught.value.retry_after is not None
        assert 1 <= caught.value.retry_after <= 30
    assert len(issuer.asked) == 1
    await by.close()


def usable(*entries: object) -> Sequence[Key]:
    """The keys read from a set of `entries` and one that is good."""
    return read(*entries).keys[:-1]


def read(*entries: object) -> KeySet:
    """A set of `entries` and a key that is good."""
    found = read_key_set(json.dumps({"keys": [*entries, ed_signer().jwk(kid="good")]}).encode())
    assert found.keys[-1].kid == "good"
    return found


ANY_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
USABLE: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "bare": (rsa_signer().jwk(key_ops=None), ANY_RSA),
    "with everything": (rsa_signer().jwk(use="sig", alg="RS256", kid="k", x5c=["no"], x5t="no", x="?"), ("RS256",)),
    "RS512": (rsa_signer().jwk(alg="RS512"), ("RS512",)),
    "PS256": (rsa_signer().jwk(alg="PS256"), ("PS256",)),
    "P-256": (ec_signer().jwk(alg="ES256", use="sig"), ("ES256",)),
    "P-384": (P384.jwk(), ("ES384",)),
    "P-521": (P521.jwk(alg="ES512"), ("ES512",)),
    "Ed25519": (ed_signer().jwk(alg="EdDSA"), ("EdDSA", "Ed25519")),
    "Ed25519 by its new name": (ed_signer().jwk(alg="Ed25519"), ("EdDSA", "Ed25519")),
    "with two operations": (rsa_signer().jwk(key_ops=["sign", "verify"]), ANY_RSA),
    "with nulls": (rsa_signer().jwk() | dict.fromkeys(("kid", "alg", "use", "key_ops", "x5c", "x5t", "d")), ANY_RSA),
    "with empty texts": (rsa_signer().jwk(kid="", alg="", use="", x5t=""), ANY_RSA),
}


@pytest.mark.parametrize(("entry", "algorithm"), USABLE.values(), ids=USABLE)
def test_the_kind_of_a_published_key_decides_its_algorithms(entry: dict[str, Any], algorithm: tuple[str, ...]) -> None:
    """One that the issuer names must agree, and is the only one. A member that is null or empty counts as absent."""
    assert [key.algorithms for key in usable(entry)] == [algorithm]


USELESS: dict[str, object] = {
    "no object": "key",
    "null": None,
    "empty": {},
    "kty unknown": {"kty": "ML-DSA"},
    "kty a list": {"kty": ["RSA"]},
    "a secret": {"kty": "oct", "k": b64encode(SECRET).decode(), "kid": "k", "alg": "HS256"},
    "for encryption": rsa_signer().jwk(use="enc"),
    "use unknown": rsa_signer().jwk(use=["sig"]),
    "for signing only": rsa_signer().jwk(key_ops=["sign"]),
    "operations no list": rsa_signer().jwk(key_ops="verify"),
    "for another algorithm": rsa_signer().jwk(alg="RS1"),
    "for key transport": rsa_signer().jwk(alg="RSA-OAEP"),
    "for an HMAC": rsa_signer().jwk(alg="HS256"),
    "for another kind": rsa_signer().jwk(alg="ES256"),
    "alg a list": rsa_signer().jwk(alg=["RS256"]),
    "kty another": rsa_signer().jwk(kty="EC"),
    "kid a number": rsa_signer().jwk(kid=1),
    "kid a list": rsa_signer().jwk(kid=["k"]),
    "kid huge": rsa_signer().jwk(kid="k" * 257),
    "short RSA": rsa_signer("short", 1024).jwk(),
    "no modulus": rsa_signer().jwk(n=None),
    "modulus a number": rsa_signer().jwk(n=5),
    "modulus no base64": rsa_signer().jwk(n="é"),
    "modulus even": rsa_signer().jwk(n="AAAA"),
    "huge modulus": rsa_signer().jwk(n="_" * 30_000),
    "exponent one": rsa_signer().jwk(e="AQ"),
    "curve missing": ec_signer().jwk(crv=None),
    "curve another": SECP256K1.jwk(),
    "curve another, named as ours": P384.jwk(crv="P-256"),
    "curve another, for ES256": P384.jwk(alg="ES256"),
    "a point off the curve": ec_signer().jwk(y=ec_signer("other").jwk()["y"]),
    "Ed448": ED448.jwk(),
    "Ed25519 cut": ed_signer().jwk(x="AAAA"),
    "its private half too": ed_signer().jwk(d=b64encode(b"d" * 32).decode()),
    "its private half too, rightly": OKPAlgorithm.to_jwk(ED_PRIVATE, as_dict=True),
}


@pytest.mark.parametrize("entry", USELESS.values(), ids=USELESS)
def test_an_unusable_key_is_skipped(entry: object) -> None:
    """A broken, weak or private key, or one for another use, does not affect the other keys."""
    assert usable(entry) == []


# A key, and words of the reason why it is not used.
REASONS: dict[str, tuple[object, str]] = {
    "kty": ({"kty": "ML-DSA", "kid": "a"}, 'key "a": its kty is "ML-DSA"'),
    "no kty": ({"kid": "a"}, 'key "a": its kty is missing'),
    "no object": ("a", "key 1 of the set, without a kid: it is not an object"),
    "a secret": ({"kty": "oct", "kid": "a", "k": "Y2FuYXJ5"}, 'key "a": it is a secret'),
    "use": (rsa_signer().jwk(kid="a", use="enc"), 'key "a": its use is "enc"'),
    "operations": (rsa_signer().jwk(kid="a", key_ops=["wrapKey"]), 'key "a": its key_ops do not have verify'),
    "alg": (rsa_signer().jwk(kid="a", alg="RSA-OAEP"), 'key "a": its alg is "RSA-OAEP"'),
    "alg of another kind": (rsa_signer().jwk(alg="ES256"), 'key 1 of the set, without a kid: its alg is "ES256"'),
    "curve": (SECP256K1.jwk(kid="a"), 'key "a": its curve is secp256k1'),
    "curve unknown": (ec_signer().jwk(kid="a", crv="P-1"), 'of curve "P-1"'),
    "Ed448": (ED448.jwk(kid="a"), 'key "a": it is not RSA, EC or Ed25519'),
    "too small": (rsa_signer("short", 1024).jwk(kid="a"), 'key "a": it is RSA of 1024 bits'),
    "private": (ed_signer().jwk(kid="a", d="Y2FuYXJ5"), 'key "a": it has private parts'),
    "kid": (rsa_signer().jwk(kid=7), "key 1 of the set, without a kid: its kid is not a text"),
    "kid with a line break": ({"kid": "a\nb\u202e" + "c" * 200}, r'key "a\nb\u202eccc'),
    "no base64url": (rsa_signer().jwk(kid="a", n="Y2FuYXJ5+/"), 'key "a": its n is not base64url'),
    "a part that is a number": (ec_signer().jwk(kid="a", x=7), 'key "a": its x is not base64url'),
    "broken": (rsa_signer().jwk(kid="a", n="Y2FuYXJ5"), 'key "a": it'),
}


@pytest.mark.parametrize(("entry", "reason"), REASONS.values(), ids=REASONS)
def test_the_reason_why_a_key_is_not_used_names_it_by_its_id(entry: object, reason: str) -> None:
    """An operator reads which key it is and what is wrong with it. Nothing else of the key is shown."""
    [shown] = read(entry).unused
    assert reason in shown
    assert "Y2FuYXJ5" not in shown
    assert "canary" not in shown
    assert shown.isprintable()
    assert len(shown) < 300


def nested_set(levels: int) -> bytes:
    """A set with one good key, and a field beside it so that all of it has `levels` levels."""
    text = json.dumps({"keys": [ed_signer().jwk()]})
    return f'{text[:-1]},"x":{"[" * (levels - 1)}{"]" * (levels - 1)}}}'.encode()


SETS = {
    "nothing": b"",
    "HTML": b"<html>",
    "null": b"null",
    "a list": b"[]",
    "no keys": b"{}",
    "keys null": b'{"keys":null}',
    "keys an object": b'{"keys":{}}',
    "keys none": b'{"keys":[]}',
    "keys useless": b'{"keys":[{"kty":"oct","k":"AAAA"}]}',
    "too many": json.dumps({"keys": [ed_signer().jwk(kid=str(n)) for n in range(101)]}).encode(),
    "deep": b"[" * 200_000,
    "a good key, nested too deep": nested_set(65),
    "another UTF": json.dumps({"keys": [ed_signer().jwk()]}).encode("utf-16"),
    "no UTF-8": b'{"keys":"\xff"}',
    "a huge number": b'{"keys":' + b"9" * 10_000 + b"}",
}


@pytest.mark.parametrize("body", SETS.values(), ids=SETS)
def test_a_bad_key_set_is_an_error(body: bytes) -> None:
    """A set without a usable key, or with more than a hundred keys, is a fault of the endpoint."""
    with pytest.raises(ValueError, match=r"."):
        read_key_set(body)


def test_a_set_may_nest_to_the_limit() -> None:
    """A set of 64 levels is read, with a byte order mark or without."""
    assert len(read_key_set(nested_set(64)).keys) == 1
    assert len(read_key_set(b"\xef\xbb\xbf" + nested_set(64)).keys) == 1


def test_a_hundred_keys_are_read() -> None:
    """A hundred keys are the largest set."""
    body = json.dumps({"keys": [ed_signer().jwk(kid=str(n)) for n in range(100)]}).encode()
    assert len(read_key_set(body).keys) == 100


MEMBER = st.sampled_from(["kty", "crv", "x", "y", "n", "e", "d", "p", "use", "alg", "kid", "key_ops", "oth"])
VALUE = (
    st.none() | st.integers() | st.text() | st.lists(st.text()) | st.sampled_from(["RSA", "EC", "OKP", "AQAB", "AAAA"])
)


@given(st.sampled_from([rsa_signer(), ec_signer(), ed_signer()]), st.dictionaries(MEMBER, VALUE, max_size=3))
def test_any_published_key_is_read_or_skipped(signer: Signer, members: dict[str, Any]) -> None:
    """Any key beside a good one is read or skipped, and the good one is read."""
    assert len(usable(signer.jwk() | members)) <= 1
    usable(members)


async def test_strangers_do_not_hide_a_new_key(issuer: Endpoint) -> None:
    """After any number of invented key ids, one after the other, the first token with a new key is accepted at once."""
    issuer.publish(ec_signer("old").jwk(kid="old"))
    by = verifier(keys(jwks_url=issuer.url, times=RenewalTimes(burst=2, refill=0.1)))
    for n in range(5):
        assert (await refused(by, ec_signer("thief").token(CLAIMS, kid=f"k{n}"))).startswith("unknown key")
    issuer.publish(ec_signer("new").jwk(kid="new"))
    assert (await by.verify(ec_signer("new").token(CLAIMS, kid="new"))).user == "ada"
    assert len(issuer.asked) <= 7
    await by.close()


async def test_one_stranger_does_not_delay_a_new_key(issuer: Endpoint) -> None:
    """With the shipped times, a new key is found although a stranger has just named one that does not exist."""
    issuer.publish(ec_signer("old").jwk(kid="old"))
    by = verifier(keys(jwks_url=issuer.url))
    for _ in range(20):
        await refused(by, ec_signer("thief").token(CLAIMS, kid="invented"))
    issuer.publish(ec_signer("new").jwk(kid="new"))
    assert (await by.verify(ec_signer("new").token(CLAIMS, kid="new"))).user == "ada"
    assert len(issuer.asked) <= 3
    await by.close()


async def test_a_key_without_an_id_is_tried_for_a_token_with_one(issuer: Endpoint) -> None:
    """The key that the token names comes first. A set may have both kinds."""
    issuer.publish(ec_signer("bare").jwk(), ec_signer("named").jwk(kid="k"))
    by = verifier(keys(jwks_url=issuer.url))
    assert (await by.verify(ec_signer("bare").token(CLAIMS, kid="elsewhere"))).user == "ada"
    assert (await by.verify(ec_signer("bare").token(CLAIMS, kid="k"))).user == "ada"
    assert (await by.verify(ec_signer("named").token(CLAIMS, kid="k"))).user == "ada"
    assert await refused(by, ec_signer("named").token(CLAIMS, kid="elsewhere")) == NOT_OURS
    await by.close()


@pytest.mark.parametrize("kid", [None, "k"])
async def test_a_new_key_without_an_id_is_found(issuer: Endpoint, kid: str | None) -> None:
    """Where no key is named, a signature that does not match may belong to a newer key."""
    issuer.publish(ec_signer("old").jwk())
    by = verifier(keys(jwks_url=issuer.url))
    assert (await by.verify(ec_signer("old").signed({"alg": "ES256", "kid": kid}, CLAIMS))).user == "ada"
    issuer.publish(ec_signer("new").jwk())
    assert (await by.verify(ec_signer("new").signed({"alg": "ES256", "kid": kid}, CLAIMS))).user == "ada"
    await by.close()


async def test_a_bad_signature_of_a_known_key_causes_no_request(issuer: Endpoint) -> None:
    """The key that it names is there, so a newer set cannot help."""
    issuer.publish(ec_signer().jwk(kid="k"))
    by = verifier(keys(jwks_url=issuer.url))
    for _ in range(10):
        assert await refused(by, ec_signer("thief").token(CLAIMS, kid="k")) == NOT_OURS
    assert len(issuer.asked) == 1
    await by.close()


async def test_the_log_says_once_why_keys_are_not_used(issuer: Endpoint) -> None:
    """One line for a document, with each key by its id. Neither the same document nor a good one causes it."""
    issuer.publish(ec_signer().jwk(kid="good"))
    by = verifier(keys(jwks_url=issuer.url))
    with capture_logs() as logged:
        await by.verify(ec_signer().token(CLAIMS, kid="good"))
    assert logged == []
    await by.close()
    issuer.publish(
        rsa_signer().jwk(kid="encryption", use="enc"),
        rsa_signer().jwk(kid="longer", alg="RS512"),
        ec_signer().jwk(kid="good"),
    )
    by = verifier(keys(jwks_url=issuer.url))
    with capture_logs() as logged:
        assert (await by.verify(ec_signer().token(CLAIMS, kid="good"))).user == "ada"
        await refused(by, ec_signer().token(CLAIMS, kid="unknown"))
    [line] = logged
    assert line["event"] == "token keys not used"
    first, second = line["keys"]
    assert first == 'key "encryption": its use is "enc", and not sig'
    assert second.startswith('key "longer": it is for RS512, but FORESTAY_JWT_ALGORITHMS accepts RS256, ES256')
    await by.close()


async def test_a_set_without_a_usable_key_is_explained(issuer: Endpoint) -> None:
    """The line about the failed request says what is wrong with its keys."""
    issuer.publish({"kty": "oct", "kid": "shared", "k": "Y2FuYXJ5"})
    by = verifier(keys(jwks_url=issuer.url))
    with capture_logs() as logged, pytest.raises(Refusal, match="not available"):
        await by.verify(ec_signer().token(CLAIMS, kid="good"))
    [line] = logged
    assert 'none of its 1 keys is usable; key "shared": it is a secret' in line["error"]
    assert "Y2FuYXJ5" not in repr(line)
    await by.close()


ALL_KINDS = {
    "RS256": rsa_signer(),
    "RS384": rsa_signer(),
    "RS512": rsa_signer(),
    "PS256": rsa_signer(),
    "PS384": rsa_signer(),
    "PS512": rsa_signer(),
    "ES256": ec_signer(),
    "ES384": P384,
    "ES512": P521,
    "EdDSA": ed_signer(),
    "Ed25519": ed_signer(),
}


OTHERS: dict[str, Callable[[str], Any]] = {
    "RS": lambda _: rsa_signer("other").private,
    "PS": lambda _: rsa_signer("other").private,
    "ES": lambda name: ec.generate_private_key(type(ALL_KINDS[name].private.curve)()),  # type: ignore[union-attr]
    "Ed": lambda _: ed_signer("other").private,
}


@pytest.mark.parametrize("algorithm", ALL_KINDS)
async def test_each_algorithm_verifies_published_and_given_keys(issuer: Endpoint, algorithm: str) -> None:
    """An algorithm that is configured verifies its own tokens, and no token of another algorithm."""
    owner = ALL_KINDS[algorithm]
    other = Signer(OTHERS[algorithm[:2]](algorithm), algorithm)
    issuer.publish(owner.jwk(kid="k"))
    for known in (
        keys(jwks_url=issuer.url, algorithms=[algorithm]),
        keys(public_key=owner.pem, algorithms=[algorithm]),
    ):
        by = verifier(known)
        header = {"alg": algorithm, "kid": "k"}
        assert (await by.verify(owner.signed(header, CLAIMS))).user == "ada"
        assert await refused(by, other.signed(header, CLAIMS)) == NOT_OURS
        for name in {"RS256", "PS256", "ES256", "ES384", "EdDSA"} - {algorithm}:
            token = owner.signed(header, CLAIMS, named=name)
            assert (await refused(by, token)).startswith("algorithm not allowed")
        await by.close()


def test_two_secrets_verify_while_they_are_turned() -> None:
    """Tokens of the previous secret are accepted beside those of the current one, and those of a third are not."""
    by = TokenVerifier(Keys(PlainTasks(), secrets=[SECRET, b"p" * 32]), TokenRules("**:r"), clock=lambda: NOW)
    for secret in (SECRET, b"p" * 32):
        assert asyncio.run(by.verify(forged({"alg": "HS256"}, CLAIMS, secret))).user == "ada"
    with pytest.raises(Refusal, match=NOT_OURS[:24]):
        asyncio.run(by.verify(forged({"alg": "HS256"}, CLAIMS, b"q" * 32)))


def test_a_previous_secret_that_is_too_short_is_named() -> None:
    """The error says which of the two secrets is short for the configured algorithm."""
    with pytest.raises(ValueError, match="the previous secret has 32 bytes, HS512 needs 64"):
        Keys(PlainTasks(), secrets=[LONG_SECRET, b"p" * 32], algorithms=["HS512"])
