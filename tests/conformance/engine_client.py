"""A client of Engine.IO that sends what it is told to, also what no client sends."""

import asyncio
import json

import aiohttp
import pytest
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType

from forestay.edge.engineio.polling import Polling
from tests.conformance.engine_echo import PATH, EngineServer

PATIENCE = 10.0


class Browser:
    """A client of Engine.IO that sends what it is told to."""

    def __init__(self, server: EngineServer, http: ClientSession) -> None:
        self.server = server
        self.http = http
        self._url = f"http://127.0.0.1:{server.port}{PATH}"

    async def get(self, sid: str | None = None, **query: str) -> tuple[int, str]:
        """Status and text of a GET of long polling."""
        return await self.request("GET", self._query(sid, query))

    async def post(self, sid: str, body: str | bytes, **headers: str) -> tuple[int, str]:
        """Status and text of a POST."""
        return await self.request("POST", self._query(sid, {}), body, headers)

    async def request(
        self, method: str, query: dict[str, str], body: str | bytes = "", headers: dict[str, str] | None = None
    ) -> tuple[int, str]:
        """Status and text of any request."""
        async with asyncio.timeout(PATIENCE):
            async with self.http.request(method, self._url, params=query, data=body, headers=headers) as answer:
                return answer.status, await answer.text()

    async def open(self) -> str:
        """The id of a new polling session."""
        status, text = await self.get()
        assert (status, text[0]) == (200, "0")
        return str(json.loads(text[1:])["sid"])

    async def socket(self, sid: str | None = None) -> ClientWebSocketResponse:
        """A WebSocket: of a new session, or one to which the session `sid` may move."""
        query = self._query(sid, {"transport": "websocket"})
        return await self.http.ws_connect(self._url, params=query)

    async def begin(self) -> ClientWebSocketResponse:
        """A WebSocket of a new session, whose open packet is read."""
        ws = await self.socket()
        await hear(ws)
        return ws

    async def handshake(self, query: dict[str, str]) -> int:
        """The HTTP status with which a WebSocket is refused."""
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await self.http.ws_connect(self._url, params=query)
        return refused.value.status

    def _query(self, sid: str | None, more: dict[str, str]) -> dict[str, str]:
        return {"EIO": "4", "transport": "polling"} | ({} if sid is None else {"sid": sid}) | more


async def hear(ws: ClientWebSocketResponse) -> str | bytes:
    """The next message."""
    message = await ws.receive(PATIENCE)
    assert message.type in (WSMsgType.TEXT, WSMsgType.BINARY), message
    return message.data  # type: ignore[no-any-return]


async def hear_close(ws: ClientWebSocketResponse) -> int | None:
    """Read until the server closes. Returns its code."""
    async with asyncio.timeout(PATIENCE):
        async for _ in ws:
            pass
    return ws.close_code


def code_of(answer: tuple[int, str]) -> tuple[int, int]:
    """The status, and the code in the body of a refused request."""
    status, text = answer
    return status, json.loads(text)["code"]


async def moved(browser: Browser, sid: str) -> ClientWebSocketResponse:
    """The WebSocket to which the session has moved."""
    ws = await browser.socket(sid)
    await ws.send_str("2probe")
    assert await hear(ws) == "3probe"
    await ws.send_str("5")
    await ws.send_str("4there")
    assert await hear(ws) == "4there"
    return ws


async def gone(server: EngineServer) -> None:
    """Wait until the server has no session."""
    async with asyncio.timeout(PATIENCE):
        while len(server.engine.sessions):
            await asyncio.sleep(0.01)


async def polled(server: EngineServer, sid: str) -> None:
    """Wait until a poll of the session is pending."""
    session = server.engine.sessions.find(sid)
    assert session is not None
    carrier = session.carrier
    assert isinstance(carrier, Polling)
    async with asyncio.timeout(PATIENCE):
        while carrier._poll is None:
            await asyncio.sleep(0)
