"""The transcript in docs/protocol.md happens word for word."""

import asyncio
import json
import re
import time
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import pytest
import websockets

from app import server, settings
from tests.support.repository import ROOT

SECRET = "transcript-secret-of-more-than-32-bytes"
API_KEY = "transcript-api-key-of-more-than-32-bytes"
RIGHTS: dict[str, dict[str, str] | None] = {"alice": {"chat.*": "rw", "secret": ""}, "bob": None}
ANY = "<any>"


def transcript() -> list[str]:
    """The lines of the page's transcript."""
    [block] = re.findall(
        r"^```transcript\n(.*?)^```", (ROOT / "docs/protocol.md").read_text(), re.DOTALL | re.MULTILINE
    )
    return [line for line in block.splitlines() if line.strip()]


def same(shown: Any, came: Any) -> bool:
    """Whether what came is what is shown; `<any>` stands for anything."""
    if shown == ANY:
        return True
    if isinstance(shown, dict) and isinstance(came, dict):
        return shown.keys() == came.keys() and all(same(shown[key], came[key]) for key in shown)
    if isinstance(shown, list) and isinstance(came, list):
        return len(shown) == len(came) and all(map(same, shown, came))
    return bool(shown == came)


def token(user: str) -> str:
    claims: dict[str, object] = {"sub": user, "exp": time.time() + 600}
    if RIGHTS[user] is not None:
        claims["rooms"] = RIGHTS[user]
    return jwt.encode(claims, SECRET)


class Stage:
    """A gateway, and the clients of the transcript."""

    def __init__(self, running: server.Server) -> None:
        self._socket = f"ws://127.0.0.1:{running.port}/ws"
        self._internal = f"http://127.0.0.1:{running.internal_port}"
        self._clients: dict[str, websockets.ClientConnection] = {}
        self._answer: tuple[int, Any] = (0, None)

    async def play(self, line: str) -> None:
        """Do, or expect, what one line says."""
        who, what, rest = re.fullmatch(r"(\w+) (>|<|connects|closes) ?(.*)", line).groups()  # type: ignore[union-attr]
        if what == "connects":
            headers = {"Authorization": f"Bearer {token(who)}"}
            self._clients[who] = await websockets.connect(self._socket, additional_headers=headers)
        elif who == "http":
            await self._http(what, rest)
        elif what == "closes":
            await self._closes(self._clients[who], int(rest))
        elif what == ">":
            await self._clients[who].send(_binary(rest) or rest)
        else:
            self._compare(rest, await asyncio.wait_for(self._clients[who].recv(), 5))

    async def _http(self, what: str, rest: str) -> None:
        if what == "<":
            status, _, body = rest.partition(" ")
            assert self._answer[0] == int(status)
            assert same(json.loads(body), self._answer[1]), self._answer
            return
        method, path, body = [*rest.split(" ", 2), ""][:3]
        headers = {"Authorization": f"Bearer {API_KEY}"}
        async with aiohttp.request(method, self._internal + path, data=body or None, headers=headers) as response:
            self._answer = (response.status, await response.json())

    async def _closes(self, client: websockets.ClientConnection, code: int) -> None:
        if code == 1000:
            await client.close()
        with pytest.raises(websockets.ConnectionClosed):
            await asyncio.wait_for(client.recv(), 5)
        assert client.close_code == code
        assert client.close_reason

    def _compare(self, shown: str, came: str | bytes) -> None:
        if isinstance(came, bytes):
            assert came == _binary(shown)
            return
        assert same(json.loads(shown), json.loads(came)), came
        for payload in re.findall(r'"payload": (\{"text.*?\})', shown):
            assert payload in came, "a payload travels byte for byte"


def _binary(text: str) -> bytes:
    return bytes.fromhex(text) if re.fullmatch(r"([0-9a-f]{2} ?)+", text) else b""


async def test_the_transcript_is_true(tmp_path: Path) -> None:
    """Each line happens, in its order, and nothing happens in between."""
    rooms = tmp_path / "rooms.toml"
    rooms.write_text('[[rooms]]\npattern = "chat.*"\njoin_leave = true\n')
    given = settings.load(
        {"FORESTAY_JWT_SECRET": SECRET, "FORESTAY_API_KEY": API_KEY, "FORESTAY_ROOMS_FILE": str(rooms)},
        host="127.0.0.1",
        port=0,
        internal_port=0,
    )
    running = server.Server(given, server.prepare(given))
    await running.start()
    try:
        stage = Stage(running)
        for line in transcript():
            try:
                await stage.play(line)
            except Exception as error:
                raise AssertionError(f"the transcript differs at: {line}") from error
    finally:
        await running.stop(asyncio.Event())
