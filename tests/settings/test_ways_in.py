"""The settings of the ways in: where Socket.IO is, which transports it has, and which file it serves."""

from pathlib import Path

import pytest

from forestay.settings.settings import SettingsError, load


@pytest.mark.parametrize("path", ["/socket.io/", "/chat/socket.io/", "/a-b_c.d~e/", "/wsx/", "/apps/ws/", "/Stream/"])
def test_socketio_has_a_path_of_its_own(path: str) -> None:
    """A path between two slashes, which nothing else serves, is taken as it is."""
    assert load({"FORESTAY_SOCKETIO_PATH": path}).socketio_path == path


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("socket.io/", "starts and ends with a slash"),
        ("/socket.io", "starts and ends with a slash"),
        ("socket.io", "write it like /socket.io/"),
        ("", "starts and ends with a slash"),
        ("/", "starts and ends with a slash"),
        ("//", "starts and ends with a slash"),
        ("/a//b/", "starts and ends with a slash"),
        ("/../", "letters, digits"),
        ("/a/./b/", "letters, digits"),
        ("/a b/", "letters, digits"),
        ("/a?b/", "letters, digits"),
        ("/%2e/", "letters, digits"),
        ("/é/", "letters, digits"),
        ("/ws/", "something else at /ws"),
        ("/ws/socket.io/", "something else at /ws"),
        ("/stream/", "something else at /stream"),
        ("/rooms/", "something else at /rooms"),
        ("/tickets/", "something else at /tickets"),
        ("/healthz/", "something else at /healthz"),
        ("/readyz/", "something else at /readyz"),
        ("/metrics/", "something else at /metrics"),
        ("/v1/", "something else at /v1"),
    ],
)
def test_a_path_that_cannot_be_is_one_clear_error(path: str, words: str) -> None:
    """The error names the setting, says what is wrong with the path, and shows one that is right."""
    with pytest.raises(SettingsError) as raised:
        load({"FORESTAY_SOCKETIO_PATH": path})
    [problem] = raised.value.problems
    assert problem.startswith("FORESTAY_SOCKETIO_PATH: ")
    assert words in problem
    assert "such as /socket.io/" in problem or "like /socket.io/" in problem


@pytest.mark.parametrize(
    ("text", "transports"),
    [
        ("websocket", ["websocket"]),
        ("polling", ["polling"]),
        ("polling,websocket", ["polling", "websocket"]),
        ("WebSocket  Polling", ["websocket", "polling"]),
        ("websocket websocket", ["websocket"]),
    ],
)
def test_transports_are_words(text: str, transports: list[str]) -> None:
    """Transports are separated by spaces or commas, read in any case, and count once."""
    assert load({"FORESTAY_SOCKETIO_TRANSPORTS": text}).socketio_transports == transports


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "no transport"), (" , ", "no transport"), ("webtransport", "'websocket' or 'polling'")],
)
def test_there_is_a_transport(text: str, words: str) -> None:
    """No transport at all, or one that does not exist, is an error that shows the two."""
    with pytest.raises(SettingsError) as raised:
        load({"FORESTAY_SOCKETIO_TRANSPORTS": text})
    [problem] = raised.value.problems
    assert problem.startswith("FORESTAY_SOCKETIO_TRANSPORTS: ")
    assert words in problem
    assert "default websocket polling" in problem


@pytest.mark.parametrize("value", ["0", "-1", "inf", "nan", "soon"])
def test_a_ping_timeout_is_above_zero(value: str) -> None:
    """A client needs some time to answer a ping, and an end of it."""
    with pytest.raises(SettingsError, match="FORESTAY_SOCKETIO_PING_TIMEOUT"):
        load({"FORESTAY_SOCKETIO_PING_TIMEOUT": value})


def test_the_client_file_exists(tmp_path: Path) -> None:
    """A path that leads to no file is found at start, and an empty one serves none."""
    file = tmp_path / "socket.io.js"
    file.write_text("// a client")
    assert load({"FORESTAY_SOCKETIO_CLIENT": str(file)}).socketio_client == file
    assert load({"FORESTAY_SOCKETIO_CLIENT": ""}).socketio_client is None
    for nothing in (tmp_path, tmp_path / "nowhere.js"):
        with pytest.raises(SettingsError, match="FORESTAY_SOCKETIO_CLIENT: no such file"):
            load({"FORESTAY_SOCKETIO_CLIENT": str(nothing)})
