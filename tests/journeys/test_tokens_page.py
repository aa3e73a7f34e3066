"""With the settings of docs/tokens.md, tokens in the form of each provider get in, with the rights that it says."""

import asyncio
import json
import random
import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import jwt
import pytest
from aiohttp import web

from forestay.pod.inputs import prepare
from forestay.pod.open_settings import open_settings
from forestay.pod.tasks import Supervisor
from forestay.settings.settings import SettingsError, load
from tests.support.gateway import PATIENCE, SECRET, Client, Gateway, gateway, token, upgrade
from tests.support.issuers import SHAPES, Issued
from tests.support.jwks import Endpoint, endpoint
from tests.support.repository import ROOT, blocks, codes, rows
from tests.support.tokens_page import PAGE, block, rooms_file, settings_of

OWN: Final = {"jwt_secret": SECRET}
each = pytest.mark.parametrize("name", SHAPES)


@asynccontextmanager
async def provider(name: str, folder: Path) -> AsyncIterator[tuple[Endpoint, Gateway]]:
    """A provider whose key set is at the path of the page, and a gateway with the settings of the page."""
    given = settings_of(name)
    path = urlsplit(given["jwks_url"]).path
    async with endpoint() as issuer:
        issuer.publish(*SHAPES[name].keys)
        answer = issuer.answer

        async def strict(request: web.Request) -> web.StreamResponse:
            if request.path != path:
                raise web.HTTPNotFound
            return await answer(request)

        issuer.answer = strict
        given["jwks_url"] = issuer.url.removesuffix("/keys") + path
        async with gateway(**given, rooms_file=rooms_file(name, folder)) as pod:
            yield issuer, pod


async def detail(pod: Gateway, bearer: str) -> str:
    """Why a token is refused."""
    refused = await Client.request(pod.port, upgrade(bearer))
    assert refused.status == 401, refused.status
    return str(json.loads(refused.body)["detail"])


async def rights(client: Client, room: str) -> str:
    """Which of the rights `r` and `w` a client has in a room."""
    found = ""
    for letter, sentence in ("r", {"type": "join"}), ("w", {"type": "broadcast", "payload": 1, "echo": False}):
        answer = await client.ask({**sentence, "room": room, "id": letter})
        if answer["type"] == "error":
            assert answer["payload"]["code"] == "forbidden", answer
        else:
            found += letter
    return found


async def check(pod: Gateway, issued: Issued) -> None:
    client = await Client.open(pod.port, issued.token())
    assert (await client.hear("welcome"))["payload"]["user"] == issued.user
    assert {room: await rights(client, room) for room in issued.may} == issued.may
    await client.close()


@each
async def test_a_token_of_the_provider_gets_in(name: str, tmp_path: Path) -> None:
    """With its user and its rights; tokens for others, and those without the user, are refused as the page says."""
    async with provider(name, tmp_path) as (_, pod):
        issued = SHAPES[name]
        await check(pod, issued)
        for said, changed in issued.refused.items():
            assert said in await detail(pod, issued.token(**changed))


def test_every_section_is_played() -> None:
    """Each section with a key set has a shape, and each shape a section."""
    headings = re.findall(r"^##+ (.+)$", (ROOT / PAGE).read_text(encoding="utf-8"), re.MULTILINE)
    played = [each for each in headings if "FORESTAY_JWKS_URL" in "".join(blocks(PAGE, "sh", re.escape(each)))]
    assert [each.removeprefix("With ") for each in played] == list(SHAPES)


BY_LIBRARIES: Final[dict[str, tuple[dict[str, str], dict[str, object], str, str]]] = {
    "jjwt, which chooses by the length of the secret": (
        {"jwt_algorithms": "HS512"},
        {"sub": "7"},
        "HS512",
        "algorithm",
    ),
    "simplejwt with its own claim": ({"jwt_user_claim": "user_id"}, {"user_id": "7", "jti": "a"}, "HS256", "missing"),
    "a library that was given a number": ({"jwt_user_claim": "id"}, {"id": 7}, "HS256", "missing claim: sub"),
}
"""Settings of the page, claims, the algorithm, and how the refusal without these settings begins."""


@pytest.mark.parametrize("name", BY_LIBRARIES)
async def test_a_token_of_a_library_needs_one_setting(name: str) -> None:
    """Without it the refusal names it."""
    given, claims, algorithm, begins = BY_LIBRARIES[name]
    secret = SECRET + SECRET
    bearer = jwt.encode({"exp": time.time() + 60, **claims}, secret, algorithm)
    async with gateway(jwt_secret=secret) as pod:
        found = await detail(pod, bearer)
        assert found.startswith(begins)
        assert f"FORESTAY_{next(iter(given)).upper()}" in found
    async with gateway(jwt_secret=secret, **given) as pod:
        client = await Client.open(pod.port, bearer)
        assert (await client.hear("welcome"))["payload"]["user"] == "7"


async def test_a_number_as_sub_is_refused_with_what_to_write() -> None:
    """Libraries write it so where they are given one."""
    async with gateway(**OWN) as pod:
        bearer = jwt.encode({"exp": time.time() + 60, "sub": 42}, SECRET)
        assert 'write the user 42 as "42"' in await detail(pod, bearer)


async def test_a_key_that_a_provider_changes_to_works_at_once(tmp_path: Path) -> None:
    """As Keycloak does it: the new key is published beside the old one, and tokens of both get in."""
    issued = SHAPES["Keycloak"]
    newer = issued.by("newer")
    async with endpoint() as issuer:
        issuer.publish(*issued.keys)
        given = settings_of("Keycloak") | {"jwks_url": issuer.url}
        async with gateway(**given, rooms_file=rooms_file("Keycloak", tmp_path)) as pod:
            await check(pod, issued)
            assert "unknown key" in await detail(pod, issued.by("later").token())
            issuer.publish(*newer.keys, *issued.keys)
            async with asyncio.timeout(PATIENCE):
                await check(pod, newer)
            await check(pod, issued)


def _opaque() -> str:
    return "2YotnFZFEjr1zCsicMWpAA"


def _encrypted() -> str:
    """In the form of Auth0 where a client names no audience."""
    head = "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIiwiaXNzIjoiaHR0cHM6Ly9zaG9wLmV1LmF1dGgwLmNvbS8ifQ"
    return f"{head}..AAAAAAAAAAAAAAAA.AAAA.AAAAAAAAAAAAAAAAAAAAAA"


def _for_graph() -> str:
    """In the form of a token for Microsoft Graph: what is signed has the digest of the header's nonce."""
    entra = SHAPES["Entra"]
    nonce = "0123456789abcdef"
    header = {"typ": "JWT", "alg": "RS256", "kid": entra.jwk["kid"]}
    signed = entra.signer.signed({**header, "nonce": sha256(nonce.encode()).hexdigest()}, dict(entra.claims))
    shown = entra.signer.signed({**header, "nonce": nonce}, dict(entra.claims))
    return f"{shown.partition('.')[0]}.{signed.partition('.')[2]}"


NOT_FOR_US: Final = {
    "it has no dots, so it is opaque": ("Auth0", _opaque),
    "it has five parts, so it is encrypted (JWE)": ("Auth0", _encrypted),
    "signature does not match": ("Entra", _for_graph),
    "unknown key": ("Okta", SHAPES["Auth0"].token),
    "algorithm not allowed": ("Supabase", token),
}


@pytest.mark.parametrize("said", NOT_FOR_US)
async def test_a_token_that_was_not_made_for_us_is_refused_with_what_it_is(said: str, tmp_path: Path) -> None:
    """As the table of the page has it."""
    name, make = NOT_FOR_US[said]
    async with provider(name, tmp_path) as (_, pod):
        found = await detail(pod, make())
        assert said in found
        begins = [sentence for row in rows("docs/tokens.md", "The sentence begins with") for sentence in codes(row[0])]
        assert [begin for begin in begins if found.startswith(begin)] != []


async def test_rights_by_roles_scopes_and_groups(tmp_path: Path) -> None:
    """The example of the page does what it says, and a token with `rooms` has those rights alone."""
    heading = "By roles, scopes and groups"
    user: dict[str, Any] = {"roles": ["moderator"], "scope": "openid chat:read", "groups": ["red", "a.b", "*"]}
    may: list[tuple[dict[str, Any], Mapping[str, str]]] = [
        ({}, {"lobby": "rw", "user.ada.x": "rw", "user.bob.x": "", "chat.a": "", "team.red.x": ""}),
        (user, {"lobby": "rw", "chat.a": "rw", "team.red.x": "rw", "team.a.b.x": "rw", "team.blue.x": ""}),
        ({"scope": "chat:read"}, {"chat.a": "r", "chat.a.b": ""}),
        ({"scope": "chat:reader chat"}, {"chat.a": ""}),
        ({**user, "rooms": {"one": "r"}}, {"one": "r", "lobby": "", "chat.a": ""}),
    ]
    async with gateway(**OWN, rooms_file=rooms_file(heading, tmp_path)) as pod:
        for claims, expected in may:
            client = await pod.connect("ada", **claims)
            assert {room: await rights(client, room) for room in expected} == expected
            await client.close()


async def test_rights_change_with_the_next_token(tmp_path: Path) -> None:
    """A connection has the rights of the token that it sent last."""
    async with gateway(**OWN, rooms_file=rooms_file("By roles, scopes and groups", tmp_path)) as pod:
        client = await pod.connect("ada")
        for roles, answer in (["admin"], "ack"), ([], "error"):
            renewed = await client.ask({"type": "auth", "id": "1", "payload": {"token": token("ada", roles=roles)}})
            assert renewed["type"] != "error"
            sent = await client.ask({"type": "broadcast", "room": "chat.a", "payload": 1, "id": "2"})
            assert sent["type"] == answer


async def test_rights_by_a_hook(tmp_path: Path) -> None:
    """The example of the page puts a client into the rooms of its teams, and keeps it out of the others."""
    module = tmp_path / "hooks.py"
    module.write_text(block("By a hook", "python"), encoding="utf-8")
    file = rooms_file("By a hook", tmp_path)
    async with gateway(**OWN, hooks_module=str(module), rooms_file=file) as pod:
        client = await pod.connect("ada")
        assert (await client.hear("joined"))["room"] == "team.red"
        for room, answers in (("team.red", {"joined", "ack"}), ("team.blue", {"error"})):
            for sentence in ({"type": "join"}, {"type": "broadcast", "payload": 1, "echo": False}):
                answer = await client.ask({**sentence, "room": room, "id": "1"})
                assert answer["type"] in answers
                if "error" in answers:
                    assert answer["payload"]["reason"] == "no_member"
        # What the page warns of: other rights than `r` and `w` ask no hook.
        other = await pod.connect("ada", rooms={"team.*": "rh"})
        assert (await other.hear("joined"))["room"] == "team.red"
        answer = await other.ask({"type": "history", "room": "team.blue", "id": "2"})
        assert answer["payload"]["message"] == "this room has no history"


def test_default_rights_and_rights_exclude_each_other(tmp_path: Path) -> None:
    """Both would be two answers to one question; the error says what to do."""
    environ = {
        "FORESTAY_JWKS_URL": "http://127.0.0.1:9/keys",
        "FORESTAY_JWT_AUDIENCE": "us",
        "FORESTAY_ROOMS_FILE": rooms_file("By roles, scopes and groups", tmp_path),
    }
    settings = load(environ)
    parts = prepare(settings, Supervisor(random.uniform))
    assert open_settings(settings, parts.claim_rights) == []
    with pytest.raises(SettingsError, match=r"FORESTAY_DEFAULT_RIGHTS: it is set, and FORESTAY_ROOMS_FILE has"):
        prepare(load(environ | {"FORESTAY_DEFAULT_RIGHTS": "lobby:r"}), Supervisor(random.uniform))


async def test_a_set_of_certificates_is_no_key_set() -> None:
    """As at the `/x509/` address of Firebase: the pod is not ready, and says why."""
    async with endpoint() as issuer:
        issuer.say(json.dumps({"3f6b0b": "-----BEGIN CERTIFICATE-----\n"}))
        async with gateway(jwks_url=issuer.url) as pod, asyncio.timeout(PATIENCE):
            while "no answer yet" in (body := (await pod.probe("/readyz"))[1])["checks"]["keys"]["reason"]:
                await asyncio.sleep(0.01)
            assert "it has no list called keys" in body["checks"]["keys"]["reason"]
