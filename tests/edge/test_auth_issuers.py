"""Tokens and key sets in unusual forms are accepted, and claims are found where the settings say that they are."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from forestay.core.rules.access import Right
from forestay.edge.tokens.claims import ClaimNames
from forestay.edge.tokens.jwks import KeySetAddress
from forestay.edge.tokens.keys import Keys
from forestay.edge.tokens.verifier import TokenRules, TokenVerifier
from forestay.protocol.codes import Refusal
from forestay.protocol.names import RoomName
from tests.support.jwks import SECRET, Endpoint, endpoint, forged, rsa_signer
from tests.support.tasks import PlainTasks

NOW = 1_800_000_000
TIMES = {"iat": NOW - 60, "exp": NOW + 3600}


@dataclass(frozen=True)
class Issuer:
    """A token of one issuer, and what it writes of its key beside the parts."""

    header: Mapping[str, Any]
    claims: Mapping[str, Any]
    user: str
    jwk: Mapping[str, Any] = field(default_factory=dict)
    names: ClaimNames = field(default_factory=ClaimNames)


UUID = "f3a1c9d2-1a2b-4c3d-8e9f-001122334455"
ISSUERS = {
    "an issuer that writes nulls": Issuer(
        {"alg": "RS256", "kid": None, "typ": None},
        {**TIMES, "sub": "ada"},
        "ada",
        jwk={"kid": None, "alg": None, "use": None, "key_ops": None, "x5c": None, "x5t": None},
    ),
    "an issuer whose set has no ids": Issuer({"alg": "RS256", "kid": "2026-11"}, {**TIMES, "sub": "ada"}, "ada"),
    "simplejwt, with a number as the user": Issuer(
        {"alg": "RS256", "typ": "JWT"},
        {**TIMES, "token_type": "access", "jti": UUID, "user_id": 42},
        "42",
        names=ClaimNames(user="user_id"),
    ),
}


@pytest.fixture
async def served() -> AsyncIterator[Endpoint]:
    async with endpoint() as served:
        yield served


@pytest.mark.parametrize("issuer", ISSUERS.values(), ids=ISSUERS)
async def test_the_token_of_an_issuer_is_accepted(served: Endpoint, issuer: Issuer) -> None:
    """The user is read from the claim in which the issuer has it. tests/support/issuers has the known providers."""
    served.publish(rsa_signer().jwk(key_ops=None) | dict(issuer.jwk))
    known = Keys(PlainTasks(), key_set=KeySetAddress(served.url))
    by = TokenVerifier(known, TokenRules("**:r", names=issuer.names), clock=lambda: float(NOW))
    identity = await by.verify(rsa_signer().signed(issuer.header, issuer.claims))
    assert identity.user == issuer.user
    await by.close()


# The name of a claim, the claims of a token, and the rights that it has in the room chat: a letter, or none.
PATHS: dict[str, tuple[str, dict[str, Any], str]] = {
    "a plain name": ("grants", {"grants": {"chat": "r"}}, "r"),
    "a URL": ("https://example.com/rooms", {"https://example.com/rooms": {"chat": "r"}}, "r"),
    "a path": ("a.b.c", {"a": {"b": {"c": {"chat": "r"}}}}, "r"),
    "a whole name with dots": ("a.b.c", {"a.b.c": {"chat": "r"}, "a": {"b": {"c": {"chat": "w"}}}}, "r"),
    "the longest beginning first": ("a.b.c", {"a.b": {"c": {"chat": "r"}}, "a": {"b.c": {"chat": "w"}}}, "r"),
    "a rest with dots": ("a.b.c", {"a": {"b.c": {"chat": "r"}}}, "r"),
    "a path below a URL": ("https://example.com/app.rooms", {"https://example.com/app": {"rooms": {"chat": "r"}}}, "r"),
    "absent": ("a.b", {"a": {}}, "default"),
    "absent above": ("a.b", {"x": 1}, "default"),
    "through a text": ("a.b", {"a": "b"}, "default"),
    "through a list": ("a.0", {"a": [{"chat": "r"}]}, "default"),
    "through null": ("a.b", {"a": None}, "default"),
    "only dots": ("...", {"a": 1}, "default"),
    "a dot at the end": ("a.", {"a": {"": {"chat": "r"}}}, "r"),
    "a name that is not used": ("grants", {"rooms": {"chat": "rw"}}, "default"),
}


@pytest.mark.parametrize(("name", "claims", "letters"), PATHS.values(), ids=PATHS)
async def test_the_name_of_a_claim_is_tried_whole_and_then_as_a_path(
    name: str, claims: dict[str, Any], letters: str
) -> None:
    """Names with dots and addresses are common as names of claims, and so are claims inside of others."""
    rules = TokenRules("chat:h", names=ClaimNames(rooms=name))
    by = TokenVerifier(Keys(PlainTasks(), secrets=[SECRET]), rules, clock=lambda: float(NOW))
    identity = await by.verify(forged({"alg": "HS256"}, {**TIMES, "sub": "ada", **claims}))
    expected = {"r": Right.JOIN, "default": Right.HISTORY}[letters]
    assert identity.rights.of(RoomName("chat")) == expected


@pytest.mark.parametrize("name", ["", "a" * 257])
def test_a_claim_needs_a_name_of_some_length(name: str) -> None:
    """An empty name would find nothing, and so switch a check off."""
    with pytest.raises(ValueError, match="1 to 256 characters"):
        ClaimNames(audience=name)


@pytest.mark.parametrize("value", [True, 1.5, None, ["ada"], {"id": "ada"}, "", "a\n", int("9" * 300), -(10**400)])
async def test_another_user_claim_is_text_or_a_whole_number(value: object) -> None:
    """What else it may be is refused, and the refusal names the claim."""
    rules = TokenRules("**:r", names=ClaimNames(user="uid"))
    by = TokenVerifier(Keys(PlainTasks(), secrets=[SECRET]), rules, clock=lambda: float(NOW))
    with pytest.raises(Refusal, match="malformed claim: uid"):
        await by.verify(forged({"alg": "HS256"}, {**TIMES, "sub": "ada", "uid": value}))
    with pytest.raises(Refusal, match="missing claim: uid; FORESTAY_JWT_USER_CLAIM"):
        await by.verify(forged({"alg": "HS256"}, {**TIMES, "sub": "ada"}))
