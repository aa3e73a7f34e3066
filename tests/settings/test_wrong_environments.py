"""Wrong environments: each gets one line that names the setting, what is wrong with it, and what to write."""

import random
from pathlib import Path

import pytest

from forestay.pod.inputs import prepare
from forestay.pod.tasks import Supervisor
from forestay.settings.settings import SettingsError, load
from tests.support.gateway import SECRET
from tests.support.process import forestay

KEY = {"FORESTAY_JWT_SECRET": SECRET}
FILES = {
    "patt_ern.toml": '[[rooms]]\npatt_ern = "a"\n',
    "yaml.toml": "rooms: a\n",
    "minutes.toml": '[[rooms]]\npattern = "a"\n[rooms.history]\nsize = 1\nttl = "5min"\n',
    "keys.toml": '[[keys]]\nname = "a"\n',
    "hooks.py": "def con_nect(event): ...\n",
}
# The variables beside a key, FOLDER standing for that of the files; the setting at the beginning of the line; what is
# wrong; what to do.
WRONG: dict[str, tuple[dict[str, str], str, str, str]] = {
    "no key": ({"FORESTAY_JWT_SECRET": ""}, "FORESTAY_JWT_*", "no token key", "forestay serve --dev"),
    "short key": ({"FORESTAY_JWT_SECRET": "short"}, "FORESTAY_JWT_SECRET", "shorter than 32", "openssl rand"),
    "a word as a port": ({"FORESTAY_PORT": "http"}, "FORESTAY_PORT", "not a whole number", "write digits only"),
    "a high port": ({"FORESTAY_PORT": "99999"}, "FORESTAY_PORT", "given: '99999'", "at most 65535"),
    "one port": ({"FORESTAY_PORT": "9090"}, "FORESTAY_PORT and", "are both 9090", "different numbers"),
    "a space": ({"FORESTAY_PING_INTERVAL": "30 s"}, "FORESTAY_PING_INTERVAL", "not a duration", "leave out the spaces"),
    "no unit": ({"FORESTAY_PONG_TIMEOUT": "5min"}, "FORESTAY_PONG_TIMEOUT", "min is no unit", "1h30m"),
    "negative": ({"FORESTAY_DRAIN_WINDOW": "-1"}, "FORESTAY_DRAIN_WINDOW", "cannot be negative", "30s"),
    "zero": ({"FORESTAY_PING_INTERVAL": "0"}, "FORESTAY_PING_INTERVAL", "given: '0'", "must be above 0"),
    "10k": ({"FORESTAY_MAX_CONNECTIONS": "10k"}, "FORESTAY_MAX_CONNECTIONS", "not a whole number", "such as 10000"),
    "a half": ({"FORESTAY_MAX_CONNECTIONS": "1.5"}, "FORESTAY_MAX_CONNECTIONS", "not a whole number", "default 10000"),
    "maybe": ({"FORESTAY_DEMO": "maybe"}, "FORESTAY_DEMO", "neither yes nor no", "write on or off"),
    "verbose": ({"FORESTAY_LOG_LEVEL": "verbose"}, "FORESTAY_LOG_LEVEL", "not one of", "'DEBUG', 'INFO', 'WARNING'"),
    "yes": ({"FORESTAY_READINESS_BUS": "yes"}, "FORESTAY_READINESS_BUS", "not one of", "'auto', 'strict'"),
    "deep": ({"FORESTAY_JSON_DEPTH": "5000"}, "FORESTAY_JSON_DEPTH", "given: '5000'", "at most 900"),
    "no scheme": ({"FORESTAY_BUS_URL": "cache:6379"}, "FORESTAY_BUS_URL", "scheme is unknown", "redis://host:6379/0"),
    "two hosts": ({"FORESTAY_BUS_URL": "redis://a,b"}, "FORESTAY_BUS_URL", "several hosts", "redis+cluster://"),
    "a host": ({"FORESTAY_ALLOWED_ORIGINS": "a.example"}, "FORESTAY_ALLOWED_ORIGINS", "not an origin", "scheme://host"),
    "a page": ({"FORESTAY_ALLOWED_ORIGINS": "https://a.example/"}, "FORESTAY_ALLOWED_ORIGINS", "not an origin", "path"),
    "http keys": ({"FORESTAY_JWKS_URL": "http://a.example"}, "FORESTAY_JWT_*", "plain http", "use https"),
    "another key": ({"FORESTAY_JWT_ALGORITHMS": "RS256"}, "FORESTAY_JWT_*", "another kind of key", "change the key"),
    "no rights": ({"FORESTAY_DEFAULT_RIGHTS": "chat.*"}, "FORESTAY_DEFAULT_RIGHTS", "has no rights", "'chat.*:rw'"),
    "no file": ({"FORESTAY_ROOMS_FILE": "/none"}, "FORESTAY_ROOMS_FILE", "cannot read /none", "check the path"),
    "a typo": (
        {"FORESTAY_ROOMS_FILE": "FOLDER/patt_ern.toml"},
        "FORESTAY_ROOMS_FILE",
        "unknown patt_ern",
        "mean pattern?",
    ),
    "yaml": ({"FORESTAY_ROOMS_FILE": "FOLDER/yaml.toml"}, "FORESTAY_ROOMS_FILE", "is not TOML", "[[rooms]]"),
    "minutes": ({"FORESTAY_ROOMS_FILE": "FOLDER/minutes.toml"}, "FORESTAY_ROOMS_FILE", "'history.ttl'", "30s, 5m"),
    "no digest": ({"FORESTAY_API_KEYS_FILE": "FOLDER/keys.toml"}, "FORESTAY_API_KEYS_FILE", "sha256", "sha256sum"),
    "no folder": ({"FORESTAY_SECRETS_DIR": "/none"}, "FORESTAY_SECRETS_DIR", "no such folder", "check the path"),
    "twice": ({"FORESTAY_JWT_SECRET_FILE": "/x"}, "FORESTAY_JWT_SECRET and", "are both set", "keep one"),
    "unsigned": ({"FORESTAY_WEBHOOKS_URL": "https://a.example"}, "FORESTAY_WEBHOOKS_URL", "is not", "set both"),
    "no hook": (
        {"FORESTAY_HOOKS_MODULE": "FOLDER/hooks.py"},
        "FORESTAY_HOOKS_MODULE",
        "con_nect is no hook",
        "connect?",
    ),
    "a network": ({"FORESTAY_TRUSTED_PROXIES": "10.0.0.1/8"}, "FORESTAY_TRUSTED_PROXIES", "not an", "10.0.0.0/8"),
    "unproved": (
        {"FORESTAY_BUS_SIGNATURES": "required"},
        "FORESTAY_BUS_SIGNATURES",
        "needs FORESTAY_BUS_SECRET",
        "openssl",
    ),
    "a full path": ({"FORESTAY_SOCKETIO_PATH": "io"}, "FORESTAY_SOCKETIO_PATH", "not a path", "/socket.io/"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the settings name."""
    path = tmp_path_factory.mktemp("wrong")
    for name, text in FILES.items():
        (path / name).write_text(text)
    return path


@pytest.mark.parametrize(("environ", "setting", "why", "remedy"), WRONG.values(), ids=WRONG)
def test_a_wrong_setting_gets_one_line(
    folder: Path, environ: dict[str, str], setting: str, why: str, remedy: str
) -> None:
    """The line begins with the setting, and has what is wrong and what to do. The words are not a library's."""
    given = {name: text.replace("FOLDER", str(folder)) for name, text in environ.items()}
    with pytest.raises(SettingsError) as raised:
        prepare(load(KEY | given), Supervisor(random.uniform))
    [problem] = raised.value.problems
    assert problem.startswith(setting)
    assert why in problem
    assert remedy in problem
    assert "\n" not in problem
    assert "Input should" not in problem


@pytest.mark.parametrize("verb", ["serve", "check", "token --user a"])
async def test_the_process_ends_with_its_code(verb: str) -> None:
    """All problems are told at once, on standard error, and the process ends with 2."""
    wrong = {"FORESTAY_PORT": "http", "FORESTAY_PING_INTERVAL": "30 s", "FORESTAY_PORTS": "1"}
    status, out, error = await forestay(*verb.split(), **KEY | wrong)
    assert (status, out) == (2, "")
    head, *lines = error.splitlines()
    assert head == "Invalid settings:"
    assert sorted(line.split(":")[0].split()[0] for line in lines) == [
        "FORESTAY_PING_INTERVAL",
        "FORESTAY_PORT",
        "FORESTAY_PORTS",
    ]
