"""Tokens and key sets in the forms that real issuers write them are accepted, with the settings that their users have.

The forms are those of the issuers; the keys are our own.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
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
from tests.support.jwks import SECRET, Endpoint, Signer, ec_signer, endpoint, forged, rsa_signer
from tests.support.tasks import PlainTasks

NOW = 1_800_000_000
TIMES = {"iat": NOW - 60, "exp": NOW + 3600}


@dataclass(frozen=True)
class Issuer:
    """A token of one issuer, its key set, and the settings that fit."""

    header: Mapping[str, Any]
    claims: Mapping[str, Any]
    user: str
    jwk: Mapping[str, Any] = field(default_factory=dict)
    """What the issuer writes beside the parts of the key."""
    others: Sequence[Mapping[str, Any]] = ()
    """Other keys in the same set."""
    signer: Signer = field(default_factory=rsa_signer)
    audience: Sequence[str] = ()
    issuer: Sequence[str] = ()
    names: ClaimNames = field(default_factory=ClaimNames)
    algorithms: Sequence[str] = ()
    room: str = "any"
    rights: Right = Right.JOIN


UUID = "f3a1c9d2-1a2b-4c3d-8e9f-001122334455"
ISSUERS = {
    "Keycloak": Issuer(
        {"alg": "RS256", "typ": "JWT", "kid": "FJ86GcF3jTbNLOco4NvZkUCIUmfYCqoqtOQeMfbhNlE"},
        {
            **TIMES,
            "jti": "onrtac:" + UUID,
            "iss": "https://id.example/realms/shop",
            "aud": "account",
            "sub": UUID,
            "typ": "Bearer",
            "azp": "web",
            "sid": UUID,
            "acr": "1",
            "allowed-origins": ["*"],
            "realm_access": {"roles": ["offline_access", "uma_authorization"]},
            "resource_access": {"account": {"roles": ["view-profile"]}, "forestay": {"rooms": {"chat.*": "rw"}}},
            "scope": "openid profile email",
            "email_verified": True,
            "preferred_username": "ada",
        },
        "ada",
        jwk={"kid": "FJ86GcF3jTbNLOco4NvZkUCIUmfYCqoqtOQeMfbhNlE", "alg": "RS256", "use": "sig", "x5c": ["MIIC"]},
        others=[rsa_signer("enc").jwk(kid="enc", alg="RSA-OAEP", use="enc", key_ops=None)],
        audience=["web", "mobile"],
        issuer=["https://id.example/realms/shop"],
        names=ClaimNames("preferred_username", "azp", "resource_access.forestay.rooms"),
        room="chat.lobby",
        rights=Right.JOIN | Right.BROADCAST,
    ),
    "Auth0": Issuer(
        {"alg": "RS256", "typ": "JWT", "kid": "NjVBRjY5MDlCMUIwNzU4RTA2QzZFMDQ4QzQ2MDAyQjVDNjk1RTM2Qg"},
        {
            **TIMES,
            "iss": "https://shop.eu.auth0.example/",
            "sub": "auth0|507f1f77bcf86cd799439011",
            "aud": ["https://api.shop.example", "https://shop.eu.auth0.example/userinfo"],
            "azp": "my_client_id",
            "scope": "openid profile",
            "permissions": [],
            "https://shop.example/rooms": {"chat.*": "r"},
        },
        "auth0|507f1f77bcf86cd799439011",
        jwk={
            "kid": "NjVBRjY5MDlCMUIwNzU4RTA2QzZFMDQ4QzQ2MDAyQjVDNjk1RTM2Qg",
            "alg": "RS256",
            "use": "sig",
            "x5t": "NjVBRjY5",
            "x5c": ["MIIC"],
        },
        audience=["https://api.shop.example"],
        issuer=["https://shop.eu.auth0.example/"],
        names=ClaimNames(rooms="https://shop.example/rooms"),
        room="chat.lobby",
    ),
    "Cognito": Issuer(
        {"kid": "1234example=", "alg": "RS256"},
        {
            **TIMES,
            "sub": UUID,
            "cognito:groups": ["admin"],
            "iss": "https://cognito-idp.eu-west-1.amazonaws.example/eu-west-1_example",
            "client_id": "xxxxxxxxxxxxexample",
            "origin_jti": UUID,
            "event_id": UUID,
            "token_use": "access",
            "scope": "aws.cognito.signin.user.admin",
            "auth_time": NOW - 60,
            "jti": UUID,
            "username": "ada",
        },
        "ada",
        jwk={"kid": "1234example=", "alg": "RS256", "use": "sig"},
        others=[rsa_signer("id").jwk(kid="5678example=", alg="RS256", use="sig")],
        audience=["xxxxxxxxxxxxexample"],
        issuer=["https://cognito-idp.eu-west-1.amazonaws.example/eu-west-1_example"],
        names=ClaimNames("username", "client_id"),
    ),
    "Entra": Issuer(
        {"typ": "JWT", "alg": "RS256", "kid": "nOo3ZDrODXEK1jKWhXslHR_KXEg", "x5t": "nOo3ZDrODXEK1jKWhXslHR_KXEg"},
        {
            **TIMES,
            "nbf": NOW - 60,
            "aud": "6731de76-14a6-49ae-97bc-6eba6914391e",
            "iss": "https://login.microsoftonline.example/tenant/v2.0",
            "azp": "00000002",
            "azpacr": "0",
            "name": "Ada",
            "oid": UUID,
            "rh": "0.AX",
            "scp": "access_as_user",
            "sub": "HKZpfaHyWadeOouYlitjrI-KffTm222X5rrV3xDqfKQ",
            "tid": "tenant",
            "uti": "fqiBqXLPj0eQa82S-IYFAA",
            "ver": "2.0",
        },
        UUID,
        # Entra writes no alg, and an issuer of each key.
        jwk={
            "use": "sig",
            "kid": "nOo3ZDrODXEK1jKWhXslHR_KXEg",
            "x5t": "nOo3ZDrODXEK1jKWhXslHR_KXEg",
            "x5c": ["MIIC"],
            "issuer": "https://login.microsoftonline.example/{tenantid}/v2.0",
            "key_ops": None,
        },
        audience=["6731de76-14a6-49ae-97bc-6eba6914391e", "api://6731de76-14a6-49ae-97bc-6eba6914391e"],
        issuer=["https://login.microsoftonline.example/tenant/v2.0", "https://sts.windows.example/tenant/"],
        names=ClaimNames(user="oid"),
    ),
    "Google": Issuer(
        {"alg": "RS256", "kid": "b2620d5e7f132b52afe8875cdf3776c064249d04", "typ": "JWT"},
        {
            **TIMES,
            "iss": "accounts.google.example",
            "azp": "1234987819200.apps.example",
            "aud": "1234987819200.apps.example",
            "sub": "10769150350006150715113082367",
            "at_hash": "HK6E_P6Dh8Y93mRNtsDB1Q",
            "email": "ada@example.com",
            "email_verified": "true",
            "nonce": "0394852-3190485-2490358",
        },
        "10769150350006150715113082367",
        jwk={"use": "sig", "alg": "RS256", "kid": "b2620d5e7f132b52afe8875cdf3776c064249d04", "key_ops": None},
        audience=["1234987819200.apps.example"],
        issuer=["https://accounts.google.example", "accounts.google.example"],
    ),
    "Okta": Issuer(
        {"kid": "y3vOOzxSpzsyZkYQ8Pw1AzK0hXU5aVQ5Y5rK0kVv5Qs", "alg": "RS256"},
        {
            **TIMES,
            "ver": 1,
            "jti": "AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE",
            "iss": "https://shop.okta.example/oauth2/default",
            "aud": "api://default",
            "cid": "nmdP1fcyvdVO11AL7ECm",
            "uid": "00ulthapbErVUwVJy4x6",
            "scp": ["openid", "email"],
            "sub": "ada@example.com",
            "Groups": ["Everyone"],
        },
        "ada@example.com",
        jwk={"alg": "RS256", "use": "sig", "kid": "y3vOOzxSpzsyZkYQ8Pw1AzK0hXU5aVQ5Y5rK0kVv5Qs"},
        audience=["api://default"],
        issuer=["https://shop.okta.example/oauth2/default"],
    ),
    "Firebase": Issuer(
        {"alg": "RS256", "kid": "3f6b0b", "typ": "JWT"},
        {
            **TIMES,
            "iss": "https://securetoken.google.example/shop",
            "aud": "shop",
            "auth_time": NOW - 60,
            "user_id": "ZGY5NmI0",
            "sub": "ZGY5NmI0",
            "email": "ada@example.com",
            "email_verified": False,
            "firebase": {"identities": {"email": ["ada@example.com"]}, "sign_in_provider": "password"},
            "rooms": {"chat.*": "r"},
        },
        "ZGY5NmI0",
        jwk={"alg": "RS256", "use": "sig", "kid": "3f6b0b"},
        audience=["shop"],
        issuer=["https://securetoken.google.example/shop"],
        room="chat.lobby",
    ),
    "Supabase": Issuer(
        {"alg": "ES256", "kid": "b81269f1-21d8-4f2e-b719-c2240a840d90", "typ": "JWT"},
        {
            **TIMES,
            "aal": "aal1",
            "amr": [{"method": "password", "timestamp": NOW - 60}],
            "app_metadata": {"provider": "email", "providers": ["email"], "rooms": {"chat.*": "r"}},
            "aud": "authenticated",
            "email": "ada@example.com",
            "iss": "https://project.supabase.example/auth/v1",
            "phone": "",
            "role": "authenticated",
            "session_id": UUID,
            "sub": UUID,
            "is_anonymous": False,
            "user_metadata": {"rooms": {"**": "rwph"}},
        },
        UUID,
        jwk={
            "alg": "ES256",
            "kid": "b81269f1-21d8-4f2e-b719-c2240a840d90",
            "use": "sig",
            "key_ops": ["verify"],
            "ext": True,
        },
        signer=ec_signer(),
        audience=["authenticated"],
        issuer=["https://project.supabase.example/auth/v1"],
        names=ClaimNames(rooms="app_metadata.rooms"),
        room="chat.lobby",
    ),
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
    """The user, the audience and the rights are read from the claims in which the issuer has them."""
    served.publish(*issuer.others, issuer.signer.jwk(key_ops=None) | dict(issuer.jwk))
    known = Keys(PlainTasks(), key_set=KeySetAddress(served.url), algorithms=issuer.algorithms)
    rules = TokenRules("any:r", audiences=issuer.audience, issuers=issuer.issuer, names=issuer.names)
    by = TokenVerifier(known, rules, clock=lambda: float(NOW))
    identity = await by.verify(issuer.signer.signed(issuer.header, issuer.claims))
    assert identity.user == issuer.user
    assert identity.rights.of(RoomName(issuer.room)) == issuer.rights
    for wrong in ({"aud": "else", "azp": "else", "client_id": "else"}, {"iss": "https://else.example"}):
        if issuer.audience:
            with pytest.raises(Refusal, match="does not match"):
                await by.verify(issuer.signer.signed(issuer.header, {**issuer.claims, **wrong}))
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
