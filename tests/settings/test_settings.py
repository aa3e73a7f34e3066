"""Settings as people write them: white space, case, typing errors, and secrets that no error may repeat."""

from pathlib import Path

import pytest

from forestay.settings.secrets import SECRETS, variable_of
from forestay.settings.settings import Settings, SettingsError, load, unknown_variables
from tests.support.gateway import API_KEY, SECRET
from tests.support.repository import codes, rows

CANARY = "hunter2canary"
# Forms in which a secret is written by mistake: not escaped, in the wrong place, with too much around it.
WRONG_URLS = [
    f"redis://:{CANARY}?x@cache:6379",
    f"redis://:a?{CANARY}@cache:6379",
    f"redis://:a?{CANARY}=b@cache:6379",
    f"redis://:a?tls={CANARY}@cache:6379",
    f"redis://:a@cache?tls={CANARY}",
    f"redis://:a@cache?prefix={CANARY}/@cache",
    f"redis://:a?db={CANARY}@cache",
    f"redis://:{CANARY}#@cache:6379",
    f"redis://:a#{CANARY}@cache:6379",
    f"redis://:a/{CANARY}@cache:6379",
    f"redis://:{CANARY}/@cache:6379",
    f"redis://cache:{CANARY}",
    f"redis://[{CANARY}@cache",
    f"redis://{CANARY} @",
    f"{CANARY}@cache:6379",
    f"{CANARY}:secret@cache:6379",
    f"{CANARY}://cache",
    f"redis://:a@cache?ca={CANARY}",
    f"rediss://:a@cache?ca=/{CANARY}",
    f"rediss://:a@cache?cert=/{CANARY}&key=/{CANARY}",
    f"redis+cluster://:a@cache?map={CANARY}",
    f"redis+cluster://:a@cache?map=x->{CANARY}@",
    f"redis+sentinel://:{CANARY}@cache",
    f"unix://:{CANARY}@host/run/redis.sock",
    f"unix:///run/redis.sock?db={CANARY}",
    f"redis://cache/{CANARY}",
]


@pytest.mark.parametrize("url", WRONG_URLS)
def test_an_error_about_the_bus_url_repeats_nothing_of_it(url: str) -> None:
    """Whatever part of the URL a password got into, the error has a remedy and not the password."""
    with pytest.raises(SettingsError) as raised:
        load({"FORESTAY_BUS_URL": url})
    [problem] = raised.value.problems
    assert problem.startswith("FORESTAY_BUS_URL: ")
    assert CANARY not in problem


@pytest.mark.parametrize("name", [*SECRETS, "jwks_url"])
@pytest.mark.parametrize("value", [CANARY, f"https://u:{CANARY}@issuer", f"{CANARY}\n{CANARY}", f"-----{CANARY}"])
def test_no_error_repeats_a_secret(name: str, value: str) -> None:
    """A value that is refused as a secret is not in the error, also where another setting is wrong too."""
    with pytest.raises(SettingsError) as raised:
        load({variable_of(name): value, "FORESTAY_PORT": "x"})
    assert CANARY not in str(raised.value)


def test_a_long_value_is_repeated_in_part() -> None:
    """An error repeats the beginning of a value, not a page of it."""
    with pytest.raises(SettingsError) as raised:
        load({"FORESTAY_PORT": "8" * 5000})
    assert len(str(raised.value)) < 500


@pytest.mark.parametrize("around", ["\n", " ", "\r\n", "\t", "  \n\n"])
def test_white_space_around_a_value_does_not_count(around: str) -> None:
    """What an editor or a shell puts around a value changes nothing, for secrets and for all others."""
    clean = {
        "FORESTAY_JWT_SECRET": SECRET,
        "FORESTAY_API_KEY": API_KEY,
        "FORESTAY_BUS_URL": "redis://:pw@cache",
        "FORESTAY_JWT_ISSUER": "https://issuer.example",
        "FORESTAY_PORT": "8000",
        "FORESTAY_ALLOWED_ORIGINS": "https://a.example",
        "FORESTAY_DEMO": "on",
        "FORESTAY_LOG_FORMAT": "json",
    }
    assert load({name: f"{around}{value}{around}" for name, value in clean.items()}) == load(clean)
    assert load({"FORESTAY_API_KEY": around}).api_key is None


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("FORESTAY_LOG_LEVEL", "warning"),
        ("FORESTAY_LOG_FORMAT", "JSON"),
        ("FORESTAY_READINESS_BUS", "Strict"),
        ("FORESTAY_USER_LIMIT_POLICY", "REPLACE"),
        ("FORESTAY_TRACE_PARENT", "Child"),
        ("FORESTAY_DEMO", "ON"),
    ],
)
def test_a_choice_is_read_in_any_case(variable: str, value: str) -> None:
    """A choice among words has the same meaning in upper and in lower case."""
    name = variable.removeprefix("FORESTAY_").lower()
    assert load({variable: value}) != load({})
    assert getattr(load({variable: value}), name) == getattr(load({variable: value.upper()}), name)
    with pytest.raises(SettingsError, match=variable):
        load({variable: "sometimes"})


@pytest.mark.parametrize("variable", ["FORESTAY_PING_INTERVAL", "FORESTAY_MESSAGE_RATE", "FORESTAY_CLOSE_TIMEOUT"])
@pytest.mark.parametrize("value", ["inf", "1e300", "nan", "1e13"])
def test_a_number_is_finite(variable: str, value: str) -> None:
    """A number without an end, or one that no client could read in the welcome, is an error that names the setting."""
    with pytest.raises(SettingsError, match=variable):
        load({variable: value})


@pytest.mark.parametrize(
    ("row", "default"), [(row[0], row[1]) for row in rows("docs/settings.md") if row[2].startswith("s,")]
)
def test_every_duration_has_units_or_is_seconds(row: str, default: str) -> None:
    """Each setting of seconds on the page reads its default with a unit, and without one."""
    [variable], [seconds] = codes(row), codes(default) or ["60"]
    name = variable.removeprefix("FORESTAY_").lower()
    read = [getattr(load({variable: text}), name) for text in (seconds, f"{seconds}s", f"{float(seconds) * 1000:g}MS")]
    assert read == [float(seconds)] * 3


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("30 s", "leave out the spaces"),
        ("5min", "min is no unit"),
        ("-1", "cannot be negative"),
        ("-30s", "cannot be negative"),
        ("1h30", "30 has no unit"),
        ("30s1m", "the largest first"),
        ("soon", "not a duration"),
    ],
)
def test_a_wrong_duration_is_explained(text: str, why: str) -> None:
    """An error about a duration says what is wrong with it, and the forms that there are."""
    with pytest.raises(SettingsError) as raised:
        load({"FORESTAY_PING_INTERVAL": text})
    [problem] = raised.value.problems
    assert problem.startswith("FORESTAY_PING_INTERVAL: ")
    assert why in problem
    assert "500ms, 30s, 5m, 1h30m or 7d, or as a number of seconds" in problem


def test_the_two_ports_differ() -> None:
    """Equal ports are one clear error; 0 picks two free ports and is no error."""
    with pytest.raises(SettingsError) as raised:
        load({"FORESTAY_PORT": "9090"})
    [problem] = raised.value.problems
    assert "FORESTAY_PORT and FORESTAY_INTERNAL_PORT are both 9090" in problem
    assert load({}, port=0, internal_port=0).port == 0


@pytest.mark.parametrize(
    ("unknown", "similar"),
    [
        ("FORESTAY_MAX_CONECTIONS", "FORESTAY_MAX_CONNECTIONS"),
        ("FORESTAY_JWT_SECRETS", "FORESTAY_JWT_SECRET"),
        ("FORESTAY_LOGLEVEL", "FORESTAY_LOG_LEVEL"),
        ("FORESTAY_REDIS_URL", "FORESTAY_BUS_URL"),
        ("forestay_port", "FORESTAY_PORT"),
        ("FORESTAY_TOKN", "FORESTAY_TOKEN"),
        ("FORESTAY_URLS", "FORESTAY_URL"),
        ("FORESTAY_SOMETHING_ELSE_ENTIRELY", None),
    ],
)
def test_a_typing_error_gets_a_suggestion(unknown: str, similar: str | None) -> None:
    """A variable that is no setting is named with the most similar setting, if there is one."""
    known = {"PATH": "/bin", variable_of("port"): "1", "FORESTAY_TOKEN": "x", "FORESTAY_URL": "ws://a/ws"}
    assert unknown_variables({unknown: "x", **known}) == {unknown: similar}


def test_a_default_is_never_a_secret() -> None:
    """Errors show defaults, so no secret has one but the bus URL, whose default names no password."""
    assert {name: Settings.model_fields[name].default for name in SECRETS if name != "bus_url"} == dict.fromkeys(
        (name for name in SECRETS if name != "bus_url"), None
    )


def test_secrets_come_from_a_folder(tmp_path: Path) -> None:
    """Each secret is read from its file, if there is one; other files and missing ones do not count."""
    (tmp_path / "jwt-secret").write_text(SECRET + "\n")
    (tmp_path / "bus-url").write_text("redis://:pw@cache\n")
    (tmp_path / "notes").write_text("x")
    settings = load({"FORESTAY_SECRETS_DIR": str(tmp_path), "FORESTAY_API_KEY": API_KEY})
    assert settings.jwt_secret is not None
    assert settings.api_key is not None
    found = (settings.jwt_secret, settings.bus_url, settings.api_key)
    assert [secret.get_secret_value() for secret in found] == [SECRET, "redis://:pw@cache", API_KEY]
    assert settings.jwt_public_key is None


def test_a_secret_has_one_place(tmp_path: Path) -> None:
    """A secret in two places is an error that names both, and neither value."""
    (tmp_path / "api-key").write_text(CANARY * 4)
    for variable in ("FORESTAY_API_KEY", "FORESTAY_API_KEY_FILE"):
        with pytest.raises(SettingsError) as raised:
            load({"FORESTAY_SECRETS_DIR": str(tmp_path), variable: CANARY * 5})
        [problem] = raised.value.problems
        assert problem == f"{variable} and api-key in FORESTAY_SECRETS_DIR are both set; keep one"
    (tmp_path / "api-key").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match=r"api-key in FORESTAY_SECRETS_DIR: .* is not text"):
        load({"FORESTAY_SECRETS_DIR": str(tmp_path)})
    with pytest.raises(SettingsError, match="FORESTAY_SECRETS_DIR: no such folder"):
        load({"FORESTAY_SECRETS_DIR": str(tmp_path / "nowhere")})
