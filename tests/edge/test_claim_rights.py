"""Rights come from what a token says of its user, as `[[rights]]` has it, and no value of a claim reaches further."""

import json
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import pytest

from forestay.core.rules.access import Rights
from forestay.edge.tokens.claim_rights import MOST, ClaimRights, parse_claim_rights
from forestay.protocol.codes import Refusal
from forestay.protocol.names import parse_room

Table = Mapping[str, object]
ADMIN: Table = {"claim": "roles", "has": "admin", "rooms": {"chat": "rw"}}


def rooms(claims: Mapping[str, object], *tables: Table) -> dict[str, str]:
    return ClaimRights(tables).rooms(json.dumps(claims).encode())


# A table's claim and the value that it wants, claims, and whether they have it.
FITS: dict[str, tuple[str, object, dict[str, Any], bool]] = {
    "an element of a list": ("roles", "admin", {"roles": ["user", "admin"]}, True),
    "no element of a list": ("roles", "admin", {"roles": ["user", "administrator"]}, False),
    "one of several": ("roles", ["owner", "admin"], {"roles": ["admin"]}, True),
    "a text": ("plan", "pro", {"plan": "pro"}, True),
    "a part of a text": ("plan", "pro", {"plan": "pro max"}, False),
    "a word of a scope": ("scope", "chat:write", {"scope": "openid chat:write"}, True),
    "a part of a word of a scope": ("scope", "chat", {"scope": "openid chat:write"}, False),
    "a scope as a list": ("scp", "chat:write", {"scp": ["openid", "chat:write"]}, True),
    "a word of Entra's scope": ("scp", "Chat.Write", {"scp": "User.Read Chat.Write"}, True),
    "a claim inside of another": ("realm_access.roles", "admin", {"realm_access": {"roles": ["admin"]}}, True),
    "a URL": ("https://a.example/roles", "admin", {"https://a.example/roles": ["admin"]}, True),
    "true": ("email_verified", True, {"email_verified": True}, True),
    "1 for true": ("email_verified", True, {"email_verified": 1}, False),
    "a text for true": ("email_verified", True, {"email_verified": "true"}, False),
    "a number": ("level", 3, {"level": 3}, True),
    "another case": ("roles", "admin", {"roles": ["Admin"]}, False),
    "absent": ("roles", "admin", {}, False),
    "null": ("roles", "admin", {"roles": None}, False),
    "an object": ("roles", "admin", {"roles": {"admin": True}}, False),
    "a list in a list": ("roles", "admin", {"roles": [["admin"], {"admin": 1}, None, 1.5]}, False),
}


@pytest.mark.parametrize(("claim", "has", "claims", "fits"), FITS.values(), ids=FITS)
def test_a_table_is_for_tokens_that_have_the_value(
    claim: str, has: object, claims: dict[str, Any], *, fits: bool
) -> None:
    """Exactly: a list has it as an element, a scope as a word, another claim as its whole value."""
    assert rooms(claims, {"claim": claim, "has": has, "rooms": {"chat": "rw"}}) == ({"chat": "rw"} if fits else {})


def test_the_rights_of_all_tables_that_fit_are_united() -> None:
    """A pattern without letters takes rights away, whichever table has it."""
    everybody: Table = {"rooms": {"chat": "rh", "news": "r"}}
    closed: Table = {"claim": "muted", "has": True, "rooms": {"news": ""}}
    claims = {"roles": ["admin"], "muted": True}
    for tables in ([everybody, ADMIN, closed], [closed, ADMIN, everybody]):
        found = rooms(claims, *tables)
        assert set(found.pop("chat")) == set("rwh")
        assert found == {"news": ""}


# A pattern with places, claims, and the patterns that are made.
TEMPLATES: dict[str, tuple[str, dict[str, Any], Sequence[str]]] = {
    "a text": ("user.{sub}.*", {"sub": "ada"}, ["user.ada.*"]),
    "a number": ("org.{org_id}.**", {"org_id": 42}, ["org.42.**"]),
    "each of a list": ("team.{groups}.*", {"groups": ["a", "b"]}, ["team.a.*", "team.b.*"]),
    "each word of a scope": ("{scope}", {"scope": "a b"}, ["a", "b"]),
    "a claim inside of another": ("t.{app_metadata.tenant}", {"app_metadata": {"tenant": "x"}}, ["t.x"]),
    "two claims": ("{org_id}.{groups}", {"org_id": "o", "groups": ["a", "b"]}, ["o.a", "o.b"]),
    "a part of a segment": ("team-{groups}", {"groups": ["a"]}, ["team-a"]),
    "at the beginning": ("{groups}.*", {"groups": ["/eng"]}, ["%2Feng.*"]),
    "no wildcard comes from a value": (
        "team.{groups}",
        {"groups": ["*", "**", "a.*"]},
        ["team.%2A", "team.%2A%2A", "team.a.%2A"],
    ),
    "an address of a mail": ("user.{email}.*", {"email": "a@b.example"}, ["user.a%40b.example.*"]),
    "a dot before **": ("user.{email}.**", {"email": "a@b.example"}, []),
    "a dot before another value": ("{a}.{b}", {"a": "x.y", "b": "z"}, []),
    "absent": ("team.{groups}", {}, []),
    "empty": ("team.{groups}", {"groups": ["", "a"]}, ["team.a"]),
    "true": ("team.{groups}", {"groups": [True, "a"]}, ["team.a"]),
    "too long": ("team.{groups}", {"groups": ["a" * 128, "b"]}, ["team.b"]),
}


@pytest.mark.parametrize(("pattern", "claims", "made"), TEMPLATES.values(), ids=TEMPLATES)
def test_a_pattern_takes_values_of_claims(pattern: str, claims: dict[str, Any], made: Sequence[str]) -> None:
    """Each value makes a pattern, as rooms are named; what makes none gives no right."""
    assert rooms(claims, {"rooms": {pattern: "r"}}) == dict.fromkeys(made, "r")


_VALUES = ("a", "b", "a.a", "a.b", "b.a", "a.b.a", "*", "**", "a.*", "a%2Eb")
_ENDS = ("a", "b", "a.a", "a.b", "b.a", "a.a.b")


@pytest.mark.parametrize("pattern", ["t.{a}.**", "t.{a}.*", "t.{a}", "*.{a}", "{a}.{b}.*", "{a}.{b}", "{a}.{b}.**"])
def test_no_value_leads_into_the_rooms_of_another(pattern: str) -> None:
    """What a user with one value may do, a user with another value of the first claim may not: tried with many."""
    users = [
        (first, made, Rights(made))
        for first, second in product(_VALUES, repeat=2)
        for made in [rooms({"a": first, "b": second}, {"rooms": {pattern: "r"}})]
    ]
    for first, made, _ in users:
        names = {each.replace("**", end).replace("*", end.partition(".")[0]) for each in made for end in _ENDS}
        for name in filter(None, map(parse_room, names)):
            reached = {other for other, _, theirs in users if theirs.of(name)}
            assert reached <= {first}, (name, reached)


@pytest.mark.parametrize("pattern", ["team.{groups}", "{groups}.{groups}"])
def test_many_values_are_refused(pattern: str) -> None:
    """A token whose claims make too many patterns is refused, before they are made."""
    few = [str(number) for number in range(MOST if "." in pattern[:5] else 16)]
    assert len(rooms({"groups": few}, {"rooms": {pattern: "r"}})) == MOST
    with pytest.raises(Refusal, match=r"more than 256 room patterns by \[\[rights\]\]"):
        rooms({"groups": [*few, "one"]}, {"rooms": {pattern: "r"}})
    with pytest.raises(Refusal, match="too many rights"):
        rooms({"groups": few}, {"rooms": {pattern: "r", "lobby": "r"}})


@pytest.mark.parametrize("value", [b"1e999", b"[1" + 5000 * b"0" + b"]", b'["\xff"]'], ids=["inf", "digits", "bytes"])
@pytest.mark.parametrize("table", [ADMIN, {"rooms": {"team.{roles}": "r"}}], ids=["has", "place"])
def test_a_claim_that_cannot_be_read_is_refused(value: bytes, table: Table) -> None:
    """A number that is out of range and a text that is no UTF-8 are of the token, and no bug of the gateway."""
    with pytest.raises(Refusal, match="malformed claim: roles"):
        ClaimRights([table]).rooms(b'{"roles": %s}' % value)


WRONG: dict[str, tuple[object, str]] = {
    "no list": ({"rooms": {}}, r"\[\[rights\]\] tables"),
    "another key": ([{"room": {"a": "r"}}], "unknown room"),
    "no rooms": ([{}], "'rooms' of"),
    "rooms as a list": ([{"rooms": ["a"]}], "'rooms' of"),
    "letters as a list": ([{"rooms": {"a": ["r"]}}], "'rooms' of"),
    "an unknown letter": ([{"rooms": {"a": "x"}}], "a right is one of"),
    "no pattern": ([{"rooms": {"a b": "r"}}], "makes no room pattern"),
    "a brace alone": ([{"rooms": {"a.{b": "r"}}], "makes no room pattern"),
    "an empty place": ([{"rooms": {"a.{}": "r"}}], "not the name of a claim"),
    "claim without has": ([{"claim": "roles", "rooms": {"a": "r"}}], "'claim' and 'has' together"),
    "has without claim": ([{"has": "admin", "rooms": {"a": "r"}}], "'claim' and 'has' together"),
    "an empty claim": ([{"claim": "", "has": "x", "rooms": {"a": "r"}}], "'claim' of"),
    "a fraction": ([{"claim": "level", "has": 1.5, "rooms": {"a": "r"}}], "'has' of"),
    "an empty list": ([{"claim": "level", "has": [], "rooms": {"a": "r"}}], "'has' of"),
}


@pytest.mark.parametrize(("tables", "said"), WRONG.values(), ids=WRONG)
def test_a_wrong_table_is_an_error(tables: object, said: str) -> None:
    """It says which key is wrong."""
    with pytest.raises(ValueError, match=said):
        parse_claim_rights(tables)


def test_no_table_means_none() -> None:
    """Then the default rights hold."""
    assert parse_claim_rights([]) is None
