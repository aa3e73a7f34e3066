"""What each library is tried with. Each check returns a verdict of a few words, which is a cell of the table."""

import asyncio
import base64
import json
import re
import time
from collections.abc import Awaitable, Callable
from typing import Final

import aiohttp

from forestay.core.rules.lifecycle import State
from tests.matrix import doorman
from tests.matrix.builders import Built
from tests.matrix.stage import NOTHING, PATIENCE, SUBPROTOCOL, Running, Said, Unexpected, started
from tests.support.gateway import Gateway, call, gateway, token

SIZES: Final = (4096, 8192, 16_384, 32_768, 65_536, 65_588, 131_072, 1_048_576, 2_097_152)
"""Of messages, in bytes. 65,588 is the largest one that a gateway as shipped sends."""

_LIMIT: Final = 2**23
_TRIES: Final = 5
_QUIET: Final = {"drain_window": 0, "drain_lead": 0, "flush_timeout": 0, "close_timeout": 1}
_GENEROUS: Final = {
    "max_message_bytes": _LIMIT,
    "message_rate": 0,
    "message_bytes_rate": 0,
    "send_buffer_bytes": 2 * _LIMIT,
}
_CLOSED: Final = re.compile(r"^forestay_connections_closed_total\{(.*)\} [1-9]", re.MULTILINE)

Check = Callable[[Built], Awaitable[str]]


async def ways(program: Built) -> str:
    """The ways in which a token, or a ticket, brings it in."""
    async with gateway(**_QUIET) as pod:
        bearer = token("alice")
        coded = base64.urlsafe_b64encode(bearer.encode()).decode().rstrip("=")
        shut = []
        for way in ("header", "subprotocol", "query", "ticket"):
            offered, query = [SUBPROTOCOL], ""
            if way == "subprotocol":
                offered.append(f"base64url.bearer.forestay.{coded}")
            elif way == "query":
                query = f"?access_token={bearer}"
            elif way == "ticket":
                query = f"?ticket={await _ticket(pod, bearer)}"
            header = bearer if way == "header" else ""
            async with started(program, pod.url + query, header, subprotocols=offered) as client:
                try:
                    await _welcome(client)
                except Unexpected as unexpected:
                    shut.append(f"{way}: {unexpected}")
        return ", ".join(shut) or "all four"


async def _ticket(pod: Gateway, bearer: str) -> str:
    url, headers = f"http://127.0.0.1:{pod.port}/tickets", {"Authorization": f"Bearer {bearer}"}
    async with aiohttp.request("POST", url, headers=headers) as answer:
        return str((await answer.json())["ticket"])


async def _welcome(client: Running) -> None:
    await client.expect("open")
    await client.hear("welcome")


async def text(program: Built) -> str:
    """A room: it hears itself, and a backend."""
    async with gateway(**_QUIET) as pod, started(program, pod.url, token("alice")) as client:
        await _welcome(client)
        await client.text({"type": "join", "room": "a", "id": "1"})
        await client.hear("joined")
        said = 'Grüße 👋 \\ "'
        await client.text({"type": "broadcast", "room": "a", "payload": said})
        if (await client.hear("broadcast"))["payload"] != said:
            return "changed on its way"
        await call(pod, "POST", "/v1/rooms/a/messages", json.dumps({"payload": said}).encode())
        return "works" if (await client.hear("broadcast"))["payload"] == said else "changed on its way"


async def binary(program: Built) -> str:
    """Every byte, there and back."""
    async with gateway(**_QUIET) as pod, started(program, pod.url, token("alice")) as client:
        await _welcome(client)
        await client.text({"type": "join", "room": "a"})
        await client.hear("joined")
        await client.text({"type": "bind", "room": "a", "payload": {"type": 7}, "id": "1"})
        await client.hear("ack")
        data = b"\0\0\0\7" + bytes(range(256))
        await client.binary(data)
        return "works" if bytes.fromhex(await client.expect("binary")) == data else "changed on its way"


async def unauthorized(program: Built) -> str:
    """What the application is told of a bad token, and how often its library asks."""
    async with gateway(**_QUIET) as pod, started(program, pod.url, "rubbish") as client:
        seen = _refusal(await client.end(), 401, "bad_token")
        times = await _metric(pod, 'forestay_handshakes_total{outcome="401"}')
        return seen if times == 1 else f"{seen}; asks {times:g} times"


async def forbidden(program: Built) -> str:
    """What the application is told where the backend refuses it."""
    async with (
        gateway(hooks_module=doorman.__name__, **_QUIET) as pod,
        started(program, pod.url, token("alice")) as client,
    ):
        return _refusal(await client.end(), 403, "refused_by_application")


async def unavailable(program: Built) -> str:
    """What the application is told by a pod that drains, `Retry-After` included."""
    async with gateway(**_QUIET) as pod:
        pod.running._pod.lifecycle.move(State.DRAINING)
        async with started(program, pod.url, token("alice")) as client:
            return _refusal(await client.end(), 503, "unavailable")


def _refusal(said: Said, status: int, code: str) -> str:
    seen, _, rest = said.rest.partition(" ")
    if said.word == "refused" and seen == str(status):
        retry_after, _, body = rest.partition(" ")
        parts = ["status"]
        if retry_after.isdigit():
            parts.append("`Retry-After`")
        if code in body:
            parts.append("body")
        return ", ".join(parts)
    return "status, in a text" if str(status) in said.rest else "no status"


def _end(said: Said, code: int) -> str:
    """What the application hears of an end. `code`: the one of the gateway, where it closed the connection."""
    seen, _, reason = said.rest.partition(" ")
    if said is NOTHING:
        return "hears nothing"
    if said.word != "closed":
        return "an error"
    if seen != str(code):
        return f"closed with {seen}"
    return "code, reason" if reason.strip() else "code"


async def drained(program: Built) -> str:
    """What the application hears where the pod leaves."""
    async with gateway(**_QUIET) as pod, started(program, pod.url, token("alice")) as client:
        await _welcome(client)
        leaving = asyncio.create_task(pod.running.stop(asyncio.Event()))
        seen = _end(await client.end(), 1001)
        await leaving
        return seen


async def expired(program: Built) -> str:
    """What the application hears where its token expires."""
    async with gateway(**_QUIET) as pod, started(program, pod.url, token("alice")) as client:
        await _welcome(client)
        await client.text({"type": "auth", "payload": {"token": token("alice", exp=int(time.time()) + 2)}})
        await client.hear("ack")
        return _end(await client.end(), 4401)


async def too_large(program: Built) -> str:
    """What the application hears where it has sent a message that is too large."""
    async with gateway(**_QUIET) as pod, started(program, pod.url, token("alice")) as client:
        await _welcome(client)
        await client.text({"type": "broadcast", "room": "a", "payload": "x" * 70_000})
        return _end(await client.end(), 1009)


async def large(program: Built) -> str:
    """The largest message that it reads as the library is shipped."""
    return await _largest(program, 0)


async def larger(program: Built) -> str:
    """The same, with the limit that the program sets."""
    return await _largest(program, _LIMIT)


async def _largest(program: Built, limit: int) -> str:
    async with gateway(**_QUIET, **_GENEROUS) as pod, started(program, pod.url, token("alice"), limit) as client:
        await _welcome(client)
        await client.text({"type": "join", "room": "a"})
        await client.hear("joined")
        read = envelope = 0
        for size in (0, *SIZES):
            body = json.dumps({"payload": "x" * (size - envelope)}).encode()
            await call(pod, "POST", "/v1/rooms/a/messages", body)
            said = await client.next()
            if said.word != "text":
                return f"{read:,}, then {_end(said, 1009)}"
            envelope = envelope or len(said.rest)
            if size and len(said.rest) != size:
                return f"{read:,}, then in parts"
            read = size
        return f"{read:,} and more"


async def paused(program: Built) -> str:
    """Whether pings are answered while the application is busy for three seconds, and what it hears if not."""
    often = _QUIET | {"ping_interval": 0.4, "pong_timeout": 0.8, "close_timeout": 5}
    async with gateway(**often) as pod:
        for _ in range(_TRIES):
            async with started(program, pod.url, token("alice")) as client:
                try:
                    await _welcome(client)
                    await client.text({"type": "ping", "id": "pause"})
                    await client.hear("pong")
                except Unexpected:
                    # It was too slow for such pings before it was busy: a program of Java is, at its start.
                    continue
                await asyncio.sleep(2)
                if len(pod.running._pod.hub) and not await _metric(
                    pod, 'forestay_connections_by_state{state="closing"}'
                ):
                    return "answered"
                return f"cut: {_end(await client.end(), 4408)}"
    return "fails: too slow here"


async def unasked(program: Built) -> str:
    """What its handshake has besides what was asked for."""
    heads: asyncio.Queue[str] = asyncio.Queue()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.put_nowait((await reader.readuntil(b"\r\n\r\n")).decode("latin-1"))
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, started(program, f"ws://127.0.0.1:{port}/ws", token("alice")):
        head = await asyncio.wait_for(heads.get(), PATIENCE)
    fields = [line.partition(":")[0].lower() for line in head.split("\r\n")]
    found = [word for word in ("Origin",) if word.lower() in fields]
    if "permessage-deflate" in head:
        found.append("compression")
    return ", ".join(found) or "nothing"


async def left(program: Built) -> str:
    """The code with which it leaves, as the pod sees it."""
    async with gateway(**_QUIET) as pod, started(program, pod.url, token("alice")) as client:
        await _welcome(client)
        await client.close()
        await client.end()
        async with asyncio.timeout(PATIENCE):
            while not (found := _CLOSED.findall(await _metrics(pod))):
                await asyncio.sleep(0.05)
        [labels] = found
        code = "".join(re.findall(r'code="(\w+)"', labels))
        return code if 'by="client"' in labels else f"{code}, by the pod"


async def _metrics(pod: Gateway) -> str:
    async with aiohttp.request("GET", f"{pod.internal}/metrics") as answer:
        return await answer.text()


async def _metric(pod: Gateway, series: str) -> float:
    for line in (await _metrics(pod)).splitlines():
        if line.startswith(f"{series} "):
            return float(line.rpartition(" ")[2])
    return 0


CHECKS: Final[tuple[tuple[str, Check], ...]] = (
    ("Token in the header, subprotocol, query; ticket", ways),
    ("A room, text both ways", text),
    ("Binary both ways", binary),
    ("Refused with 401", unauthorized),
    ("Refused with 403", forbidden),
    ("Refused with 503", unavailable),
    ("The pod leaves (1001)", drained),
    ("The token expires (4401)", expired),
    ("It has sent too much (1009)", too_large),
    ("Reads, as shipped, messages of bytes", large),
    ("… with the limit set", larger),
    ("Pings while the application is busy", paused),
    ("Leaves with", left),
    ("Sends unasked", unasked),
)
"""What the rows of the tables are called, and what fills them."""
