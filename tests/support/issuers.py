"""Tokens and key sets in the form of identity providers, as their documents have it. The keys are our own."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from tests.support.jwks import Signer, ec_signer, rsa_signer

UUID: Final = "f3a1c9d2-1a2b-4c3d-8e9f-001122334455"
TENANT: Final = "9122040d-6c67-4c5b-b112-36a304b66dad"
ENTRA_APP: Final = "6731de76-14a6-49ae-97bc-6eba6914391e"
_X5C: Final = {"x5c": ["MIIC"], "x5t": "NjVBRjY5"}
"""A certificate beside the parts of the key. It is not read."""


@dataclass(frozen=True)
class Issued:
    """A token of a provider, with the set that has its key."""

    claims: Mapping[str, Any]
    """Without `iat` and `exp`."""
    user: str
    """What the gateway takes for the user."""
    jwk: Mapping[str, Any]
    """What the set says of the key beside its parts; None stands for what it leaves out."""
    may: Mapping[str, str]
    """By room, which of the rights `r` and `w` the token gives there with the settings of the page, and no other."""
    header: Mapping[str, Any] = field(default_factory=dict)
    """Beside `alg` and `kid`."""
    others: Sequence[Mapping[str, Any]] = ()
    """Further keys of the set."""
    signer: Signer = field(default_factory=rsa_signer)
    refused: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By what the refusal says, claims with which it is refused; None stands for a claim that is missing."""

    def token(self, **changed: object) -> str:
        """One that lasts an hour, with these claims in place of its own."""
        now = int(time.time())
        claims = {"iat": now, "exp": now + 3600, **self.claims, **changed}
        header = {"alg": self.signer.algorithm, "kid": self.jwk["kid"], **self.header}
        return self.signer.signed(header, {name: value for name, value in claims.items() if value is not None})

    @property
    def keys(self) -> Sequence[Mapping[str, Any]]:
        """The set that its provider publishes."""
        return [*self.others, self.signer.jwk(**({"key_ops": None} | dict(self.jwk)))]

    def by(self, name: str) -> "Issued":
        """The same, signed with another key."""
        return replace(self, signer=rsa_signer(name), jwk={**self.jwk, "kid": name})


SHAPES: Final[Mapping[str, Issued]] = {
    "Keycloak": Issued(
        {
            "jti": "onrtac:" + UUID,
            "iss": "https://id.example.com/realms/shop",
            "aud": "account",
            "sub": UUID,
            "typ": "Bearer",
            "azp": "web",
            "sid": UUID,
            "acr": "1",
            "allowed-origins": ["*"],
            "realm_access": {"roles": ["offline_access", "uma_authorization", "moderator"]},
            "resource_access": {"account": {"roles": ["view-profile"]}, "forestay": {"roles": ["reporter"]}},
            "scope": "openid profile email",
            "email_verified": True,
            "preferred_username": "ada",
            "groups": ["red", "blue"],
        },
        UUID,
        jwk={"kid": "FJ86GcF3jTbNLOco4NvZkUCIUmfYCqoqtOQeMfbhNlE", "alg": "RS256", "use": "sig", **_X5C},
        others=[rsa_signer("enc").jwk(kid="enc", alg="RSA-OAEP", use="enc", key_ops=None, **_X5C)],
        may={"lobby": "rw", "chat.a": "rw", "news.de": "rw", "team.red.x": "rw", "team.green.x": "", "other": ""},
        header={"typ": "JWT"},
        refused={
            'audience does not match: the token\'s azp is "mobile"': {"azp": "mobile"},
            "missing claim: azp": {"azp": None},
            "issuer does not match": {"iss": "https://id.example.com/realms/master"},
            # A lightweight access token.
            "missing claim: sub; FORESTAY_JWT_USER_CLAIM": {"sub": None, "realm_access": None},
        },
    ),
    "Auth0": Issued(
        {
            "iss": "https://shop.eu.auth0.com/",
            "sub": "auth0|507f1f77bcf86cd799439011",
            "aud": ["https://chat.example.com", "https://shop.eu.auth0.com/userinfo"],
            "azp": "my_client_id",
            "scope": "openid profile read:chat write:chat",
            "permissions": ["read:chat", "write:chat"],
            "https://chat.example.com/roles": ["moderator"],
        },
        "auth0|507f1f77bcf86cd799439011",
        jwk={"kid": "NjVBRjY5MDlCMUIwNzU4RTA2QzZFMDQ4QzQ2MDAyQjVDNjk1RTM2Qg", "alg": "RS256", "use": "sig", **_X5C},
        others=[rsa_signer("next").jwk(kid="next", alg="RS256", use="sig", key_ops=None, **_X5C)],
        may={"chat.a": "rw", "mod.a": "rw", "other": ""},
        header={"typ": "at+jwt"},
        refused={
            "audience does not match": {"aud": "https://shop.eu.auth0.com/userinfo"},
            "they differ in the slash at the end": {"iss": "https://shop.eu.auth0.com"},
        },
    ),
    "Entra": Issued(
        {
            "nbf": int(time.time()) - 300,
            "aud": ENTRA_APP,
            "iss": f"https://login.microsoftonline.com/{TENANT}/v2.0",
            "azp": "00000002",
            "azpacr": "0",
            "name": "Ada",
            "oid": UUID,
            "rh": "0.AX",
            "roles": ["Chat.Moderator"],
            "scp": "access_as_user Chat.Use",
            "sub": "HKZpfaHyWadeOouYlitjrI-KffTm222X5rrV3xDqfKQ",
            "tid": TENANT,
            "uti": "fqiBqXLPj0eQa82S-IYFAA",
            "ver": "2.0",
        },
        UUID,
        # It writes no alg, and the issuer of each key.
        jwk={
            "use": "sig",
            "kid": "nOo3ZDrODXEK1jKWhXslHR_KXEg",
            "issuer": "https://login.microsoftonline.com/{tenantid}/v2.0",
            **_X5C,
        },
        may={"chat.a": "rw", "chat.a.b": "rw", f"tenant.{TENANT}.x": "rw", f"tenant.{UUID}.x": ""},
        header={"typ": "JWT", "x5t": "nOo3ZDrODXEK1jKWhXslHR_KXEg"},
        refused={
            "audience does not match": {"aud": "00000003-0000-0000-c000-000000000000"},
            "issuer does not match": {"iss": f"https://sts.windows.net/{TENANT}/"},
            "missing claim: oid": {"oid": None},
            "token not valid yet: its nbf": {"nbf": int(time.time()) + 86_400},
        },
    ),
    "Cognito": Issued(
        {
            "sub": UUID,
            "cognito:groups": ["moderators"],
            "iss": "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Example",
            "client_id": "1example23456789",
            "origin_jti": UUID,
            "event_id": UUID,
            "token_use": "access",
            "scope": "aws.cognito.signin.user.admin",
            "jti": UUID,
            "username": "ada",
        },
        UUID,
        jwk={"kid": "1234example=", "alg": "RS256", "use": "sig"},
        others=[rsa_signer("id").jwk(kid="5678example=", alg="RS256", use="sig", key_ops=None)],
        may={f"user.{UUID}.x": "rw", "user.ada.x": "", "chat.a": "rw"},
        refused={
            # An ID token.
            "missing claim: client_id": {"client_id": None, "token_use": "id", "aud": "1example23456789"},
        },
    ),
    "Firebase": Issued(
        {
            "iss": "https://securetoken.google.com/shop-1234",
            "aud": "shop-1234",
            "auth_time": 1_700_000_000,
            "user_id": "ZGY5NmI0",
            "sub": "ZGY5NmI0",
            "email": "ada@example.com",
            "email_verified": False,
            "moderator": True,
            "firebase": {"identities": {"email": ["ada@example.com"]}, "sign_in_provider": "password"},
        },
        "ZGY5NmI0",
        jwk={"alg": "RS256", "use": "sig", "kid": "3f6b0b"},
        others=[rsa_signer("other").jwk(kid="aa11", alg="RS256", use="sig", key_ops=None)],
        may={"lobby": "r", "chat.a": "rw", "other": ""},
        header={"typ": "JWT"},
        refused={"audience does not match": {"aud": "another-project"}},
    ),
    "Supabase": Issued(
        {
            "aal": "aal1",
            "amr": [{"method": "password", "timestamp": 1_700_000_000}],
            "app_metadata": {"provider": "email", "providers": ["email"], "role": "moderator"},
            "aud": "authenticated",
            "email": "ada@example.com",
            "iss": "https://abcdefgh.supabase.co/auth/v1",
            "phone": "",
            "role": "authenticated",
            "session_id": UUID,
            "sub": UUID,
            "is_anonymous": False,
            "user_metadata": {"role": "owner", "rooms": {"**": "rwph"}},
        },
        UUID,
        jwk={
            "alg": "ES256",
            "kid": "b81269f1-21d8-4f2e-b719-c2240a840d90",
            "use": "sig",
            "key_ops": ["verify"],
            "ext": True,
        },
        may={f"user.{UUID}.x": "rw", "chat.a": "rw", "lobby": "", "other": ""},
        header={"typ": "JWT"},
        signer=ec_signer(),
        # The key `anon`.
        refused={"missing claim: sub": {"sub": None, "role": "anon"}},
    ),
    "Okta": Issued(
        {
            "ver": 1,
            "jti": "AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE",
            "iss": "https://shop.okta.com/oauth2/default",
            "aud": "api://default",
            "cid": "nmdP1fcyvdVO11AL7ECm",
            "uid": "00ulthapbErVUwVJy4x6",
            "scp": ["openid", "chat"],
            "sub": "ada@example.com",
            "groups": ["Everyone"],
        },
        "ada@example.com",
        jwk={"alg": "RS256", "use": "sig", "kid": "y3vOOzxSpzsyZkYQ8Pw1AzK0hXU5aVQ5Y5rK0kVv5Qs"},
        may={"chat.a": "rw", "chat.a.b": ""},
        refused={"audience does not match": {"aud": "https://shop.okta.com"}},
    ),
    "Google": Issued(
        {
            "iss": "accounts.google.com",
            "azp": "1234987819200.apps.googleusercontent.com",
            "aud": "1234987819200.apps.googleusercontent.com",
            "sub": "10769150350006150715113082367",
            "at_hash": "HK6E_P6Dh8Y93mRNtsDB1Q",
            "hd": "example.com",
            "email": "ada@example.com",
            "email_verified": "true",
            "nonce": "0394852-3190485-2490358",
        },
        "10769150350006150715113082367",
        jwk={"use": "sig", "alg": "RS256", "kid": "b2620d5e7f132b52afe8875cdf3776c064249d04"},
        others=[rsa_signer("next").jwk(kid="next", alg="RS256", use="sig", key_ops=None)],
        may={"lobby": "rw", "staff.a": "rw", "other": ""},
        header={"typ": "JWT"},
        refused={"audience does not match": {"aud": "another.apps.googleusercontent.com"}},
    ),
    "Spring Authorization Server": Issued(
        {
            "sub": "ada",
            "aud": "web",
            "nbf": int(time.time()),
            "scope": ["chat.read", "chat.write"],
            "iss": "https://auth.example.com",
            "jti": UUID,
            "roles": ["moderator"],
        },
        "ada",
        # It says nothing of its key.
        jwk={"kid": UUID, "use": None, "alg": None},
        may={"chat.a": "rw", "mod.a": "rw", "other": ""},
        refused={"audience does not match": {"aud": "another"}},
    ),
    "oidc-provider": Issued(
        {
            "sub": "ada",
            "aud": "https://chat.example.com",
            "client_id": "web",
            "iss": "https://op.example.com",
            "jti": UUID,
            "scope": "chat:read",
        },
        "ada",
        jwk={"kid": "one", "use": "sig", "alg": "RS256"},
        may={"chat.a": "r", "other": ""},
        header={"typ": "at+jwt"},
        refused={"missing claim: aud": {"aud": None}},
    ),
}
"""By the heading of its section in docs/tokens.md."""
