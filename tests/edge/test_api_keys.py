"""Keys of backends have scopes, are read again when their file changes, and leave a trace when they use power."""

import asyncio
import os
from hashlib import sha256
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from structlog.testing import capture_logs

from forestay.core.rules.scopes import Scope
from forestay.edge.api.keys_file import ApiKeysFile, read_keys
from forestay.protocol.codes import Refusal
from forestay.protocol.names import RoomName
from tests.support.gateway import API_KEY, JSON, Pod, call, gateway

CANARY = "canary-in-the-mine"


def table(name: str, key: str, scopes: str) -> str:
    return f'[[keys]]\nname = "{name}"\nsha256 = "{sha256(key.encode()).hexdigest()}"\nscopes = {{ {scopes} }}\n'


def bearer(key: str) -> dict[str, str]:
    return JSON | {"Authorization": f"Bearer {key}"}


@pytest.fixture
def keys_file(tmp_path: Path) -> Path:
    path = tmp_path / "keys.toml"
    path.write_text(
        table(
            "orders", "the key of orders", 'publish = ["orders.**", "@me"], read = ["orders.*"], manage = ["orders.*"]'
        )
        + table("support", "the key of support", 'read = ["**", "@me"], manage = ["@me"]')
    )
    return path


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateway looks at its file often."""
    monkeypatch.setattr("forestay.edge.api.keys_file.INTERVAL", 0.02)


# Key, method, path, body, and the status.
REQUESTS: list[tuple[str, str, str, bytes | None, int]] = [
    ("orders", "POST", "/v1/rooms/orders.1/messages", b'{"payload": 1}', 200),
    ("orders", "POST", "/v1/rooms/chat.1/messages", b'{"payload": 1}', 403),
    ("orders", "POST", "/v1/users/ada/messages", b'{"payload": 1}', 200),
    ("orders", "GET", "/v1/rooms/chat.1/presence", None, 403),
    ("orders", "GET", "/v1/rooms/chat.1/history", None, 403),
    ("orders", "GET", "/v1/rooms", None, 403),
    ("orders", "GET", "/v1/users/ada/connections", None, 403),
    ("orders", "DELETE", "/v1/users/ada/connections", None, 403),
    ("orders", "POST", "/v1/revocations", b'{"user": "ada"}', 403),
    ("orders", "POST", "/v1/revocations", b'{"jti": "t1"}', 403),
    ("orders", "PUT", "/v1/rooms/orders.1/members/ada", None, 200),
    ("orders", "DELETE", "/v1/rooms/orders.1/members/ada", None, 200),
    ("orders", "PUT", "/v1/rooms/chat.1/members/ada", None, 403),
    ("orders", "DELETE", "/v1/rooms/chat.1/members/ada", None, 403),
    ("orders", "GET", "/v1/info", None, 403),
    ("orders", "GET", "/v1/openapi.json", None, 200),
    ("support", "PUT", "/v1/rooms/orders.1/members/ada", None, 403),
    ("support", "GET", "/v1/info", None, 200),
    ("unknown", "GET", "/v1/openapi.json", None, 401),
    ("unknown", "PUT", "/v1/rooms/orders.1/members/ada", None, 401),
    ("support", "POST", "/v1/rooms/orders.1/messages", b'{"payload": 1}', 403),
    ("support", "POST", "/v1/users/ada/messages", b'{"payload": 1}', 403),
    ("support", "GET", "/v1/rooms", None, 200),
    ("support", "GET", "/v1/users/ada/connections", None, 200),
    ("support", "DELETE", "/v1/users/ada/connections", None, 200),
    ("support", "POST", "/v1/revocations", b'{"user": "ada"}', 200),
    ("unknown", "GET", "/v1/rooms", None, 401),
]


async def test_a_key_may_do_what_its_scopes_say(keys_file: Path) -> None:
    """A missing scope is 403 and names it, an unknown key is 401, and the key of the settings may do everything."""
    async with gateway(api_keys_file=keys_file) as running:
        for key, method, path, body, status in REQUESTS:
            answer, problem = await call(running, method, path, body, bearer(f"the key of {key}"))
            assert (key, path, answer) == (key, path, status)
            if status == 403:
                assert problem["code"] == "forbidden"
                assert f"{key!r} lacks the scope" in str(problem["detail"])
            _, problem = await call(running, method, path, body)
            assert "scope" not in str(problem.get("detail"))


async def test_a_batch_is_published_where_the_key_may(keys_file: Path) -> None:
    """Messages for other rooms are refused, each by itself."""
    async with gateway(api_keys_file=keys_file) as running:
        body = b'{"rooms": ["orders.1", "chat.1"], "users": ["ada"], "payload": 1}'
        for key, codes in (
            ("orders", [None, "forbidden", None]),
            ("support", ["forbidden", "forbidden", "forbidden"]),
        ):
            status, answer = await call(running, "POST", "/v1/publish", body, bearer(f"the key of {key}"))
            assert status == 200
            assert [one.get("code") for one in answer["results"]] == codes  # type: ignore[attr-defined]


async def test_a_file_works_without_a_key_in_the_settings(keys_file: Path) -> None:
    """The key of the settings is then unknown, and an empty key too."""
    async with gateway(api_keys_file=keys_file, api_key="") as running:
        assert (await call(running, "GET", "/v1/rooms", None, bearer("the key of support")))[0] == 200
        assert (await call(running, "GET", "/v1/rooms"))[0] == 401
        assert (await call(running, "GET", "/v1/rooms", None, {"Authorization": "Bearer "}))[0] == 401


async def test_the_previous_key_works_while_keys_are_turned() -> None:
    """It has all scopes, and the log says that it is used."""
    before = "the key before, which is of more than 32 bytes"
    async with gateway(api_key_previous=before) as running:
        with capture_logs() as logged:
            assert (await call(running, "GET", "/v1/rooms", None, bearer(before)))[0] == 200
            assert (await call(running, "GET", "/v1/rooms"))[0] == 200
        assert [line["event"] for line in logged if "key" in line["event"]] == ["previous api key used"]
        assert (await call(running, "GET", "/v1/rooms", None, bearer(before + "x")))[0] == 401


def _write(path: Path, content: str) -> None:
    path.write_text(content)


async def _until(pod: Pod, key: str, status: int) -> None:
    while (await call(pod, "GET", "/v1/rooms", None, bearer(key)))[0] != status:
        await asyncio.sleep(0.01)


async def test_a_changed_file_counts_without_a_restart(keys_file: Path, quick: None) -> None:
    """A key that was removed is unknown, and a new one works. A bad content changes nothing and is logged once."""
    async with gateway(api_keys_file=keys_file) as running:
        await _until(running, "the key of support", 200)
        _write(keys_file, table("audit", "the key of audit", 'read = ["**"]'))
        await _until(running, "the key of audit", 200)
        assert (await call(running, "GET", "/v1/rooms", None, bearer("the key of support")))[0] == 401
        with capture_logs() as logged:
            _write(keys_file, f'[[keys]]\nname = "{CANARY}')
            while not logged:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
        [line] = [line for line in logged if line["log_level"] == "error"]
        assert line["keys"] == ["audit"]
        assert CANARY not in repr(line)
        await _until(running, "the key of audit", 200)


async def test_a_mounted_file_that_is_replaced_by_a_link_counts(tmp_path: Path, quick: None) -> None:
    """The kubelet swaps a link to the folder with all files, and the old file is gone."""
    for number, name in enumerate(("first", "second")):
        folder = tmp_path / f"..data_{number}"
        folder.mkdir()
        (folder / "keys.toml").write_text(table(name, f"the key of {name}", 'read = ["**"]'))
    (tmp_path / "..data").symlink_to("..data_0")
    (tmp_path / "keys.toml").symlink_to("..data/keys.toml")
    async with gateway(api_keys_file=tmp_path / "keys.toml") as running:
        await _until(running, "the key of first", 200)
        (tmp_path / "..data_tmp").symlink_to("..data_1")
        (tmp_path / "..data_tmp").replace(tmp_path / "..data")
        (tmp_path / "..data_0" / "keys.toml").unlink()
        await _until(running, "the key of second", 200)
        assert (await call(running, "GET", "/v1/rooms", None, bearer("the key of first")))[0] == 401


def test_a_file_that_is_gone_keeps_its_keys(keys_file: Path) -> None:
    """It is logged once, and the next content counts, the same one too."""
    content = keys_file.read_text()
    file = ApiKeysFile(keys_file)
    keys_file.unlink()
    with capture_logs() as logged:
        file.look()
        file.look()
        assert sorted(grant.name for grant in file.grants.values()) == ["orders", "support"]
        keys_file.write_text(content)
        file.look()
        file.look()
    assert [line["log_level"] for line in logged] == ["error", "info"]


NAME_IT = "key 1 of the file needs a name"
GOOD = sha256(b"x").hexdigest()
# A content of the file, and words of the error.
MISTAKES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", r"one \[\[keys\]\] table"),
    "no keys": (b"keys = []", r"one \[\[keys\]\] table"),
    "something else": (f'other = "{CANARY}"\n{table("a", "x", "read = []")}'.encode(), "and nothing else"),
    "a table for a list": (f'[keys]\nname = "{CANARY}"'.encode(), r"one \[\[keys\]\] table"),
    "not UTF-8": (b"\xff", "not UTF-8"),
    "not TOML": (f'[[keys]]\nname = "{CANARY}\nx'.encode(), r"not TOML \(at line 2, column \d+\)"),
    "a field twice": (f'[[keys]]\n{CANARY} = 1\n"{CANARY}" = 2'.encode(), "not TOML"),
    "deep": (b"keys = " + b"[" * 100_000, "not TOML"),
    "no name": (
        f'[[keys]]\nsha256 = "{GOOD}"\nscopes = {{ read = ["**"] }}'.encode(),
        "key 1 of the file needs a name",
    ),
    "a bad name": (table(f"{CANARY}\\n", "x", 'read = ["**"]').encode(), NAME_IT),
    "a taken name": (table("default", "x", 'read = ["**"]').encode(), "default and previous are taken"),
    "the same name": ((table("a", "x", "read = []") + table("a", "y", "read = []")).encode(), "key 2 .* another one"),
    "the same key": ((table("a", "x", "read = []") + table("b", "x", "read = []")).encode(), "key 2 .* another one"),
    "a key for its digest": (f'[[keys]]\nname = "a"\nsha256 = "{CANARY}"'.encode(), "sha256sum"),
    "a key": (f'[[keys]]\nname = "a"\nkey = "{CANARY}"'.encode(), "something else than name, sha256 and scopes"),
    "a key as a field": (f'[[keys]]\nname = "a"\n{CANARY} = 1'.encode(), "something else than"),
    "no scopes": (f'[[keys]]\nname = "a"\nsha256 = "{GOOD}"'.encode(), "needs scopes"),
    "scopes a list": (f'[[keys]]\nname = "a"\nsha256 = "{GOOD}"\nscopes = ["read"]'.encode(), "needs scopes"),
    "an unknown scope": (table("a", "x", f'{CANARY} = ["**"]').encode(), "needs scopes"),
    "no patterns": (table("a", "x", 'read = "**"').encode(), "not a list of patterns"),
    "a bad pattern": (table("a", "x", f'read = ["{CANARY}*"]').encode(), "a pattern that is none"),
    "a pattern of another type": (table("a", "x", "read = [7]").encode(), "a pattern that is none"),
    "too many": ("".join(table(f"a{n}", f"{n}", "read = []") for n in range(101)).encode(), "101 keys, more than 100"),
}


@pytest.mark.parametrize(("content", "words"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_in_the_file_is_named_without_its_values(content: bytes, words: str) -> None:
    """Somebody may have written a key where its digest belongs, or anywhere else."""
    with pytest.raises(ValueError, match=words) as caught:
        read_keys(content)
    assert CANARY not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_personal_room_needs_its_own_pattern() -> None:
    """Two stars are all rooms, and not the personal rooms of users. A list of rooms needs all of them."""
    [grant] = read_keys(table("a", "x", 'read = ["**"], manage = ["chat.*"]').encode()).values()
    grant.require(Scope.READ, RoomName("chat.a"))
    grant.require_in_all_rooms(Scope.READ)
    for scope, room in ((Scope.READ, "@ada"), (Scope.MANAGE, "chat.a.b"), (Scope.PUBLISH, "chat.a")):
        with pytest.raises(Refusal, match=f"lacks the scope {scope}"):
            grant.require(scope, RoomName(room))
    with pytest.raises(Refusal, match=r"lacks the scope manage for \*\*"):
        grant.require_in_all_rooms(Scope.MANAGE)


async def _metric(pod: Pod, series: str) -> float:
    async with aiohttp.request("GET", f"{pod.internal}/metrics") as response:
        text = await response.text()
    [value] = [line.rpartition(" ")[2] for line in text.splitlines() if line.startswith(f"{series} ")]
    return float(value)


async def test_each_use_of_power_has_a_line_and_is_counted(keys_file: Path) -> None:
    """The line says which key asked for what, about whom, and what came of it; a refused one too."""
    async with gateway(api_keys_file=keys_file) as running:
        alice = await running.connect("alice")
        with capture_logs() as logged:
            await call(running, "DELETE", "/v1/users/alice/connections")
            await call(running, "POST", "/v1/revocations", b'{"jti": "t1"}', bearer("the key of support"))
            await call(running, "POST", "/v1/revocations", b'{"user": "bob"}', bearer("the key of orders"))
            await call(running, "POST", "/v1/rooms/orders.1/messages", b'{"payload": 1}')
        assert (await alice.ended()).code == 4403
        lines: list[dict[str, Any]] = [dict(line) for line in logged if line["event"] == "audit"]
        named = [{name: line.get(name) for name in ("key", "action", "user", "jti", "result")} for line in lines]
        assert named == [
            {"key": "default", "action": "disconnect", "user": "alice", "jti": None, "result": "ok"},
            {"key": "support", "action": "revoke", "user": None, "jti": "t1", "result": "ok"},
            {"key": "orders", "action": "revoke", "user": "bob", "jti": None, "result": "forbidden"},
        ]
        assert lines[0]["ended"] == 1
        assert await _metric(running, 'forestay_api_actions_total{action="disconnect",result="ok"}') == 1
        assert await _metric(running, 'forestay_api_actions_total{action="revoke",result="ok"}') == 1
        assert await _metric(running, 'forestay_api_actions_total{action="revoke",result="refused"}') == 1


async def test_wrong_keys_are_counted_and_logged_without_them() -> None:
    """A flood of them is one line in an interval, which has no part of a key."""
    async with gateway() as running:
        with capture_logs() as logged:
            for _ in range(5):
                await call(running, "GET", "/v1/rooms", None, bearer(CANARY))
            await call(running, "GET", "/v1/rooms", None, {})
        lines = [line for line in logged if line["event"] == "api keys refused"]
        assert len(lines) == 1
        assert lines[0]["unknown"] == 1
        assert CANARY not in repr(logged)
        assert API_KEY not in repr(logged)
        assert await _metric(running, 'forestay_api_keys_refused_total{reason="unknown"}') == 5
        assert await _metric(running, 'forestay_api_keys_refused_total{reason="missing"}') == 1


def test_a_pipe_or_a_folder_is_no_file(tmp_path: Path) -> None:
    """To open a pipe without a writer would stop the gateway."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(ValueError, match="is not a file"):
            ApiKeysFile(path)


def test_a_file_has_a_largest_size(tmp_path: Path) -> None:
    """A wrong path, such as one of a log, is not read to its end."""
    path = tmp_path / "keys.toml"
    path.write_bytes(b"#" * (256 * 1024 + 1))
    with pytest.raises(ValueError, match="more than 262144 bytes"):
        ApiKeysFile(path)
