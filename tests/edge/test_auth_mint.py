"""Development tokens are signed with the gateway's own secret."""

import math
from typing import Any

import pytest

from forestay.core.rules.access import Right
from forestay.edge.tokens.claims import ClaimNames
from forestay.edge.tokens.mint import mint
from forestay.edge.tokens.verifier import TokenRules, TokenVerifier
from forestay.protocol.codes import Refusal
from forestay.protocol.names import RoomName
from tests.support.jwks import LONG_SECRET, SECRET, keys

NOW = 1_800_000_000.25


def verifier(now: float = NOW, **rules: Any) -> TokenVerifier:
    return TokenVerifier(keys(secret=SECRET), TokenRules("**:rwph", **rules), clock=lambda: now)


async def test_a_minted_token_is_accepted() -> None:
    """The identity has the user, the rights and the end of the minted token."""
    identity = await verifier().verify(mint(SECRET, "ada", rooms={"chat.*": "r"}, ttl=0.5, now=NOW))
    assert (identity.user, identity.issued_at, identity.expires_at) == ("ada", NOW, NOW + 0.5)
    assert identity.rights.of(RoomName("chat.lobby")) == Right.JOIN
    assert not identity.rights.of(RoomName("news"))


async def test_a_minted_token_expires() -> None:
    """It is refused at the last moment of its lifetime."""
    with pytest.raises(Refusal, match="expired"):
        await verifier(NOW + 0.5).verify(mint(SECRET, "ada", rooms=None, ttl=0.5, now=NOW))


async def test_without_rooms_the_default_rights_apply() -> None:
    """None leaves the claim out. An empty mapping gives no rights."""
    default = await verifier().verify(mint(SECRET, "ada", rooms=None, ttl=1, now=NOW))
    none = await verifier().verify(mint(SECRET, "ada", rooms={}, ttl=1, now=NOW))
    assert default.rights.of(RoomName("news"))
    assert not none.rights.of(RoomName("news"))


async def test_the_required_audience_and_issuer_are_in_the_token() -> None:
    """A gateway that requires both accepts the token."""
    token = mint(SECRET, "ada", rooms=None, ttl=1, now=NOW, audience="forestay", issuer="us")
    assert (await verifier(audiences=["forestay"], issuers=["us"]).verify(token)).user == "ada"


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
async def test_every_hmac_can_sign(algorithm: str) -> None:
    """Tokens can be minted for a gateway that accepts only a longer HMAC."""
    by = TokenVerifier(keys(secret=LONG_SECRET, algorithms=[algorithm]), TokenRules(""), clock=lambda: NOW)
    token = mint(LONG_SECRET, "ada", rooms=None, ttl=1, now=NOW, algorithm=algorithm)
    assert (await by.verify(token)).user == "ada"


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "a short secret": ({"secret": b"x" * 31}, "openssl rand"),
    "a secret too short for its hash": ({"algorithm": "HS512"}, "openssl rand"),
    "another family": ({"algorithm": "RS256"}, "choose HS256"),
    "no algorithm": ({"algorithm": "none"}, "choose HS256"),
    "no user": ({"user": ""}, "1 to 256 characters"),
    "a long name": ({"user": "a" * 257}, "1 to 256 characters"),
    "a control character": ({"user": "a\n"}, "control character"),
    "half a surrogate pair": ({"user": "\ud800"}, "control character"),
    "no time": ({"ttl": 0}, "above 0"),
    "less than no time": ({"ttl": -1}, "above 0"),
    "not a time": ({"ttl": math.nan}, "above 0"),
    "forever": ({"ttl": math.inf}, "above 0"),
    "beyond the year 9999": ({"ttl": 1e12}, "up to the year 9999"),
    "a bad pattern": ({"rooms": {"a*": "r"}}, "pattern"),
    "a bad letter": ({"rooms": {"a": "x"}}, "a right is one of"),
    "too many patterns": ({"rooms": {f"r{n}": "r" for n in range(101)}}, "at most 100"),
    "too long": ({"rooms": {f"{'r' * 100}{n}": "r" for n in range(80)}}, "fewer room patterns"),
}


@pytest.mark.parametrize(("change", "remedy"), MISTAKES.values(), ids=MISTAKES)
def test_what_the_gateway_would_refuse_is_not_minted(change: dict[str, Any], remedy: str) -> None:
    """The error comes when the token is minted, and says what to do."""
    given: dict[str, Any] = {"secret": SECRET, "user": "ada", "rooms": None, "ttl": 60.0, "now": NOW}
    with pytest.raises(ValueError, match=remedy):
        mint(**(given | change))


async def test_a_minted_token_has_its_claims_where_the_gateway_looks_for_them() -> None:
    """A name with dots is written whole, because a whole name is tried first."""
    names = ClaimNames("preferred_username", "azp", "resource_access.forestay.rooms")
    token = mint(SECRET, "ada", rooms={"chat": "r"}, ttl=1, now=NOW, audience="web", names=names)
    identity = await verifier(audiences=["web"], names=names).verify(token)
    assert identity.user == "ada"
    assert identity.rights.of(RoomName("chat")) == Right.JOIN


async def test_a_longer_token_is_minted_where_the_settings_allow_it() -> None:
    """The gateway that accepts it has the same limit."""
    rooms = {f"{'r' * 100}{number}": "r" for number in range(90)}
    token = mint(SECRET, "ada", rooms=rooms, ttl=1, now=NOW, max_bytes=65536)
    assert len(token) > 8192
    assert (await verifier(max_bytes=65536).verify(token)).user == "ada"
