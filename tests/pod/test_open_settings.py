"""The process says which of its settings let in more than may be meant, and takes secrets as people write them."""

import json
import random
import secrets
from pathlib import Path

import pytest

from forestay.pod.diagnosis.configuration import doubts
from forestay.pod.inputs import prepare
from forestay.pod.open_settings import open_settings
from forestay.pod.tasks import Supervisor
from forestay.settings.settings import SettingsError, load
from tests.support.gateway import SECRET, Client, token, upgrade
from tests.support.process import KEYS, forestay, serving

KEY_SET = {"FORESTAY_JWKS_URL": "http://127.0.0.1:9/keys"}
NARROW = {"FORESTAY_DEFAULT_RIGHTS": "lobby:r"}
NEITHER = "neither FORESTAY_JWT_AUDIENCE nor FORESTAY_JWT_ISSUER is set"
RIGHTS = "FORESTAY_DEFAULT_RIGHTS is not set"
ORIGINS = "FORESTAY_ALLOWED_ORIGINS has *"

# Settings, and the beginnings of the lines that they cause.
OPEN: dict[str, tuple[dict[str, str], list[str]]] = {
    "a secret": (KEYS, []),
    "a key set": (KEY_SET, [NEITHER, RIGHTS]),
    "an audience": (KEY_SET | NARROW | {"FORESTAY_JWT_AUDIENCE": "us"}, []),
    "an issuer": (KEY_SET | NARROW | {"FORESTAY_JWT_ISSUER": "us"}, []),
    "empty ones": (KEY_SET | NARROW | {"FORESTAY_JWT_ISSUER": "", "FORESTAY_JWT_AUDIENCE": " "}, [NEITHER]),
    "rights on purpose": (KEY_SET | {"FORESTAY_JWT_AUDIENCE": "us", "FORESTAY_DEFAULT_RIGHTS": "**:rwph"}, []),
    "every page": (KEYS | {"FORESTAY_ALLOWED_ORIGINS": "*"}, [ORIGINS]),
    "pages of a site": (KEYS | {"FORESTAY_ALLOWED_ORIGINS": "https://*.example.com"}, []),
}


@pytest.mark.parametrize(("environ", "begins"), OPEN.values(), ids=OPEN)
def test_open_settings_are_named(environ: dict[str, str], begins: list[str]) -> None:
    """One line for each, with what it means and what to do. A setting that is set on purpose causes none."""
    reasons = open_settings(load(environ), None)
    assert len(reasons) == len(begins)
    for reason, start in zip(reasons, begins, strict=True):
        assert reason.startswith(start)
        assert "; " in reason


def test_rights_by_claims_stand_in_place_of_the_default(tmp_path: Path) -> None:
    """Where the file has `[[rights]]`, neither `check` nor `doctor` asks for default rights, which would be refused."""
    rooms = tmp_path / "rooms.toml"
    rooms.write_text('[[rights]]\nrooms = { lobby = "r" }\n')
    environ = KEY_SET | {"FORESTAY_JWT_AUDIENCE": "us", "FORESTAY_ROOMS_FILE": str(rooms)}
    settings = load(environ)
    lines = doubts(settings, prepare(settings, Supervisor(random.uniform)))
    assert [line for line in lines if RIGHTS in line] == []


async def test_serve_warns_at_each_start_and_so_does_check() -> None:
    """`serve` has one warning for each in its log, and `check` one line."""
    environ = KEY_SET | {"FORESTAY_JWT_SECRET": ""}
    _, out, _ = await forestay("check", **environ)
    assert f"warning: {NEITHER}" in out
    assert f"warning: {RIGHTS}" in out
    async with serving(**environ) as served:
        await served.end()
        lines = [json.loads(line) for line in served.log.splitlines()]
    told = [line for line in lines if line["event"] == "open setting"]
    assert [line["level"] for line in told] == ["warning", "warning"]
    assert told[0]["reason"].startswith(NEITHER)


async def test_white_space_around_a_secret_does_not_count() -> None:
    """A file of variables, and a Secret made with echo, end with a line break. Tokens are verified all the same."""
    async with serving(FORESTAY_JWT_SECRET=f" {SECRET}\r\n") as served:
        client = await Client.open(served.port, token())
        await client.hear("welcome")
        await client.close()


async def test_a_token_of_the_previous_secret_is_accepted() -> None:
    """While secrets are turned, both are good. Afterwards the previous one is not."""
    turned = {"FORESTAY_JWT_SECRET": secrets.token_hex(32)}
    async with serving(**turned, FORESTAY_JWT_SECRET_PREVIOUS=f"{SECRET}\n") as served:
        client = await Client.open(served.port, token())
        await client.hear("welcome")
        await client.close()
    async with serving(**turned) as served:
        refused = await Client.request(served.port, upgrade(token()))
        assert refused.status == 401


SECRET_ONLY, KEY_SET_ONLY = {"FORESTAY_JWT_SECRET": SECRET}, KEY_SET
# A setting, its value, the settings beside it, and words of the error.
PAIRS: dict[str, tuple[str, dict[str, str], str]] = {
    "FORESTAY_JWT_SECRET_PREVIOUS": ("x" * 40, KEY_SET_ONLY, "FORESTAY_JWT_SECRET is not"),
    "FORESTAY_API_KEY_PREVIOUS": ("x" * 40, SECRET_ONLY, "FORESTAY_API_KEY is not"),
    "FORESTAY_JWKS_CA": ("/etc/ca.pem", SECRET_ONLY, "FORESTAY_JWKS_URL is not"),
    "FORESTAY_API_KEYS_FILE": ("/nowhere/keys.toml", SECRET_ONLY, "cannot read /nowhere/keys.toml"),
    "FORESTAY_JWT_USER_CLAIM": ("y" * 300, SECRET_ONLY, "256 characters"),
    "FORESTAY_MAX_TOKEN_BYTES": ("65537", SECRET_ONLY, "65536"),
}


@pytest.mark.parametrize("name", PAIRS)
def test_a_setting_that_does_not_fit_is_named_without_a_secret(name: str) -> None:
    """A previous key without a current one, and an authority without an address, are mistakes."""
    value, others, words = PAIRS[name]
    with pytest.raises(SettingsError) as caught:
        prepare(load({**others, name: value}), Supervisor(random.uniform))
    [problem] = caught.value.problems
    assert name in problem
    assert words in problem
    assert "x" * 40 not in problem


def test_the_rooms_file_also_has_rules_for_events(tmp_path: Path) -> None:
    """They are read with the policies of rooms, and a mistake in one of them is named with the setting."""
    rooms = tmp_path / "rooms.toml"
    good = '[[events]]\nevent = "chat message"\nroom = "lobby"\n[[namespaces]]\npath = "/admin"\n'
    rooms.write_text(good)
    settings = load({**SECRET_ONLY, "FORESTAY_ROOMS_FILE": str(rooms)})
    namespaces = prepare(settings, Supervisor(random.uniform)).namespaces
    assert namespaces.paths == ["/", "/admin"]
    for bad, words in (
        (good.replace("lobby", "{0"), "'chat message': '{0' makes no room"),
        ("[[event]]\n", "[[events]] and"),
    ):
        rooms.write_text(bad)
        with pytest.raises(SettingsError) as caught:
            prepare(settings, Supervisor(random.uniform))
        [problem] = caught.value.problems
        assert "FORESTAY_ROOMS_FILE" in problem
        assert words in problem
