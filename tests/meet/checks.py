"""What is tried with each proxy. Each check returns a verdict of a few words, which is a cell of the table."""

import asyncio
import base64
import json
import struct
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from forestay.core.rules.lifecycle import State
from tests.meet.proxies import Kind
from tests.meet.stage import Stage, ask, bearer, stage
from tests.support.gateway import Client, Closed, call, frame, token, upgrade
from tests.support.streams import Stream

IDLE: Final = 2.0
"""Seconds of the proxy's idle timeout, where a check waits for it."""

_MANY: Final = 8
_LONGEST: Final = 65536

Check = Callable[[Kind], Awaitable[str]]


async def drain(kind: Kind) -> str:
    """What clients hear of the pod that drains over a second; those of the other pod must hear nothing."""
    async with stage(kind, drain_window=1.0, drain_lead=0.3) as here:
        clients = await here.connect(_MANY)
        draining, _ = here.pods
        before = here.connections()
        reading = [asyncio.create_task(_story(client)) for client in clients]
        await draining.running.stop(asyncio.Event(), paced=True)
        done, left = await asyncio.wait(reading, timeout=1.0)
        for task in left:
            task.cancel()
        stories = Counter(task.result() for task in done)
        assert sum(stories.values()) == before[0], (stories, before)
        return _listed(stories)


async def reload(kind: Kind) -> str:
    """What becomes of open connections when the proxy reads its configuration again."""
    async with stage(kind) as here:
        clients = await here.connect(_MANY)
        reading = [asyncio.create_task(_story(client)) for client in clients]
        await here.proxy.reload()
        done, left = await asyncio.wait(reading, timeout=1.0)
        for task in left:
            task.cancel()
        ends = _listed(Counter(task.result() for task in done))
        return ends if done else "all stay open"


async def silence(kind: Kind) -> str:
    """Whether a connection on which nothing is sent is cut, with an idle timeout of two seconds."""
    return await _kept(kind, ping_interval=3600)


async def pings(kind: Kind) -> str:
    """The same with pings in each half second, which the client does not answer."""
    return await _kept(kind, ping_interval=0.5)


async def _kept(kind: Kind, ping_interval: float) -> str:
    async with stage(kind, idle=IDLE, ping_interval=ping_interval) as here:
        [client] = await here.connect()
        try:
            async with asyncio.timeout(2.5 * IDLE):
                story = await _story(client)
        except TimeoutError:
            return "stays open"
        return f"cut ({story})"


async def comments(kind: Kind) -> str:
    """The same with an event stream and its comments."""
    async with stage(kind, idle=IDLE, ping_interval=0.5) as here:
        stream = await Stream.open(here.way, bearer(), "a")
        await stream.hear("welcome")
        await stream.hear("joined")
        try:
            async with asyncio.timeout(2.5 * IDLE):
                return "stays open" if await stream.data() else "cut"
        except TimeoutError:
            return "stays open"


async def refused(kind: Kind) -> str:
    """Whether status, `Retry-After` and the problem document of refused handshakes come through as they are."""
    async with stage(kind, allowed_origins="https://good.example") as here:
        changed = []
        bad = upgrade("rubbish"), upgrade(bearer(), Origin="https://evil.example")
        for request in bad:
            ours, theirs = [await ask(port, request) for port in (here.pods[0].port, here.way.port)]
            if _answer(ours) != _answer(theirs):
                changed.append(f"{ours.status} is {theirs.status}")
        return ", ".join(changed) or "unchanged"


async def full(kind: Kind) -> str:
    """What six handshakes get where both pods refuse with 503 and a problem document."""
    async with stage(kind) as here:
        for pod in here.pods:
            pod.running._pod.lifecycle.move(State.DRAINING)
        seen: Counter[str] = Counter()
        for _ in range(6):
            client = await ask(here.way.port, upgrade(bearer()))
            ours = client.headers.get("content-type") == "application/problem+json" and "retry-after" in client.headers
            seen[f"{client.status} {'with our body' if ours else 'of its own'}"] += 1
        return _listed(seen)


async def retry(kind: Kind) -> str:
    """How many of eight handshakes get in where one of two pods refuses with 503."""
    async with stage(kind) as here:
        here.pods[0].running._pod.lifecycle.move(State.DRAINING)
        seen = Counter([await _status(here, upgrade(bearer())) for _ in range(_MANY)])
        return f"{seen['101']} of {_MANY} get in"


async def balance(kind: Kind) -> str:
    """After a reload: how many of six new connections go to the pod that has none, where the other one has six."""
    if kind.draws:
        return "drawn at random"
    async with stage(kind) as here:
        clients = await here.connect(12)
        if here.connections() != (6, 6):
            return "does not balance"
        [first, _] = here.pods
        theirs = [client for client in clients if await _is_of(first, client)]
        for client in theirs:
            await client.close()
        await here.until(0, 6)
        await here.proxy.reload()
        if here.connections() != (0, 6):
            return "ends all in the reload"
        await here.connect(6)
        return f"{here.connections()[0]} of 6"


async def _is_of(pod: object, client: Client) -> bool:
    """Whether `client` is connected to `pod`: it joins a room, and the pod knows of a member."""
    name = f"r{id(client)}"
    await client.say({"type": "join", "room": name})
    await client.hear("joined")
    return name in [str(room.name) for room in pod.running._pod.rooms.all()]  # type: ignore[attr-defined]


async def streams(kind: Kind) -> str:
    """Whether each of three events of a stream comes before the next one is published."""
    async with stage(kind) as here:
        stream = await Stream.open(here.way, bearer(), "a", Accept_Encoding="gzip")
        for kind_ in ("welcome", "joined"):
            await stream.hear(kind_)
        for number in range(3):
            for pod in here.pods:
                await call(pod, "POST", "/v1/rooms/a/messages", json.dumps({"payload": number}).encode())
            try:
                async with asyncio.timeout(2.0):
                    event = await stream.event()
            except TimeoutError:
                return "held back"
            assert event is not None
            assert event["payload"] == number
        return "each at once"


async def http2(kind: Kind) -> str:
    """Whether a WebSocket over HTTP/2 (RFC 8441) is offered, and works."""
    async with stage(kind, http2=True) as here:
        reader, writer = await asyncio.open_connection("127.0.0.1", here.way.port)
        try:
            async with asyncio.timeout(5):
                return await _over_http2(reader, writer)
        except (TimeoutError, asyncio.IncompleteReadError, ConnectionError):
            return "no answer"
        finally:
            writer.transport.abort()


async def _over_http2(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
    """Extended CONNECT, with the frames and the header fields written out: every field is a literal."""
    writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _h2_frame(4, 0, 0, b""))
    kind, _, _, payload = await _h2_read(reader)
    if kind != 4:
        return "no HTTP/2"
    values = dict(struct.iter_unpack("!HI", payload))
    if values.get(8) != 1:
        return "not offered"
    fields = {
        ":method": "CONNECT",
        ":protocol": "websocket",
        ":scheme": "http",
        ":path": "/ws",
        ":authority": "127.0.0.1",
        "sec-websocket-version": "13",
        "authorization": f"Bearer {bearer()}",
    }
    block = b"".join(b"\x10" + _h2_text(name) + _h2_text(value) for name, value in fields.items())
    writer.write(_h2_frame(4, 1, 0, b"") + _h2_frame(1, 4, 1, block))
    status, data = b"", b""
    while b"welcome" not in data:
        kind, _, stream, payload = await _h2_read(reader)
        if kind == 1 and stream == 1:
            status = payload[:1]
        elif kind == 0 and stream == 1:
            data += payload
        elif kind in (3, 7):
            return "offered, and refused"
    # 0x88 is `:status: 200` of the static table.
    return "works" if status == b"\x88" else "offered, and refused"


def _h2_text(text: str) -> bytes:
    raw = text.encode()
    size = bytes([len(raw)]) if len(raw) < 127 else b"\x7f" + _h2_rest(len(raw) - 127)
    return size + raw


def _h2_rest(number: int) -> bytes:
    head = b""
    while number >= 128:
        head += bytes([number % 128 + 128])
        number //= 128
    return head + bytes([number])


def _h2_frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack("!I", len(payload))[1:] + bytes([kind, flags]) + struct.pack("!I", stream) + payload


async def _h2_read(reader: asyncio.StreamReader) -> tuple[int, int, int, bytes]:
    head = await reader.readexactly(9)
    size, stream = int.from_bytes(head[:3]), int.from_bytes(head[5:])
    return head[3], head[4], stream, await reader.readexactly(size)


async def header(kind: Kind) -> str:
    """The largest token in `Authorization` that reaches a pod, in kB, and what a larger one gets."""
    return await _largest(kind, upgrade)


async def subprotocol(kind: Kind) -> str:
    """The same in `Sec-WebSocket-Protocol`. The size is that of the token, before base64url."""
    return await _largest(
        kind, lambda text: upgrade(None, Sec_WebSocket_Protocol=f"forestay.v1, {_in_base64url(text)}")
    )


async def query(kind: Kind) -> str:
    """The same in the URL."""
    return await _largest(kind, lambda text: upgrade(None, f"/ws?access_token={text}"))


async def _largest(kind: Kind, request: Callable[[str], bytes]) -> str:
    async with stage(kind, max_token_bytes=_LONGEST) as here:
        low, high, status = 0, _LONGEST // 512, ""
        while high - low > 1:
            middle = (low + high) // 2
            answer = await _status(here, request("a" * (512 * middle)))
            if answer == "401":
                low = middle
            else:
                high, status = middle, answer
        return f"{low / 2:g} kB" + (f", then {status}" if status else "")


async def _status(here: Stage, request: bytes) -> str:
    """The status of an answer; `cut` or `nothing` where there is none."""
    try:
        client = await ask(here.way.port, request)
    except (asyncio.IncompleteReadError, ConnectionError):
        return "cut"
    except TimeoutError:
        return "nothing"
    return str(client.status)


async def logged(kind: Kind) -> str:
    """The ways in which a token gets into the log of the proxy, and when."""
    async with stage(kind) as here:
        tokens = {way: token(f"marked-{way}") for way in ("header", "subprotocol", "query")}
        requests = {
            "header": upgrade(tokens["header"]),
            "subprotocol": upgrade(None, Sec_WebSocket_Protocol=f"forestay.v1, {_in_base64url(tokens['subprotocol'])}"),
            "query": upgrade(None, f"/ws?access_token={tokens['query']}"),
        }
        clients = [await ask(here.way.port, request) for request in requests.values()]
        assert [client.status for client in clients] == [101] * 3
        await asyncio.sleep(0.5)
        early = here.proxy.log()
        for client in clients:
            await client.send(frame(8, struct.pack("!H", 1000)))
            await client.close()
        await here.until(0, 0)
        shown = {way: tokens[way] if way != "subprotocol" else _in_base64url(tokens[way]) for way in tokens}
        # Some write their logs every few seconds only.
        await asyncio.sleep(5.0)
        late = here.proxy.log()
        found = [way for way, text in shown.items() if text in late]
        when = "at the end" if not any(shown[way] in early for way in found) else "at the start"
        return f"{', '.join(found)}: {when}" if found else "none"


async def dead(kind: Kind) -> str:
    """What eight handshakes get while one pod is dead, and which ways of a token get into the errors of the proxy."""
    async with stage(kind) as here:
        await here.pods[0].running.stop(asyncio.Event())
        tokens = {way: token(f"marked-{way}") for way in ("header", "subprotocol", "query")}
        offered = f"forestay.v1, {_in_base64url(tokens['subprotocol'])}"
        seen: Counter[str] = Counter()
        for number in range(_MANY):
            # All three ways in one request, whose tokens differ, would be refused by a pod.
            request = (
                upgrade(tokens["header"]),
                upgrade(None, Sec_WebSocket_Protocol=offered),
                upgrade(None, f"/ws?access_token={tokens['query']}"),
            )[number % 3]
            seen[await _status(here, request)] += 1
        await asyncio.sleep(0.5)
        errors = here.proxy.errors()
        shown = {way: _in_base64url(text) if way == "subprotocol" else text for way, text in tokens.items()}
        found = [way for way, text in shown.items() if text in errors]
        return f"{seen['101']} of {_MANY} get in; errors show {', '.join(found) or 'none'}"


CHECKS: Final[Sequence[tuple[str, Check]]] = (
    ("A pod drains: its clients hear", drain),
    ("Reload: open connections", reload),
    ("Idle timeout of 2 s, nothing is sent", silence),
    ("… a ping every 0.5 s, never answered", pings),
    ("… a stream with comments every 0.5 s", comments),
    ("Refused with 401 and 403", refused),
    ("Both pods refuse with 503, six handshakes", full),
    ("One pod refuses with 503, eight handshakes", retry),
    ("One pod is dead, eight handshakes; tokens in the errors", dead),
    ("After a reload, of six new ones to the pod that has none", balance),
    ("Three events of a stream", streams),
    ("WebSocket over HTTP/2", http2),
    ("Largest token in the header", header),
    ("Largest token in the subprotocol", subprotocol),
    ("Largest token in the URL", query),
    ("Tokens in the logs", logged),
)
"""The rows of the table, and what fills them."""


async def _story(client: Client) -> str:
    """The types of the messages that a client hears until the end, and its code. It answers the close."""
    heard = []
    while True:
        try:
            heard.append(f"`{(await client.hear())['type']}`")
        except Closed as closed:
            if closed.code != 1006:
                client.writer.write(frame(8, struct.pack("!H", closed.code)))
            await client.close()
            return ", ".join([*dict.fromkeys(heard), str(closed.code)])
        except TimeoutError:
            return "nothing"


def _answer(client: Client) -> tuple[object, ...]:
    return client.status, client.headers.get("retry-after"), client.headers.get("content-type"), client.body


def _listed(seen: Counter[str]) -> str:
    """What was seen, each with its number where it differs."""
    if len(seen) == 1:
        return next(iter(seen))
    return ", ".join(f"{number} times {what}" for what, number in sorted(seen.items()))


def _in_base64url(text: str) -> str:
    return "base64url.bearer.forestay." + base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
