"""Reads the transcript in docs/protocol.md, and plays it to a gateway.

    alice connects [with chat.*:rw secret: | without a token]
    alice is refused 401 bad_token
    alice > a text message, or bytes in hex
    alice < what comes, as JSON without its timestamp, or bytes in hex
    alice closes
    alice closed 1000 bye
    alice streams chat.a chat.b     (with the id of her last event, where there was one)
    alice ends                      (her stream does)
    alice asks METHOD path [body]   (on the public port)
    alice gets status JSON
    http > METHOD path [body]
    http < status JSON

An indented line continues the one before it; one that starts with `#` is a comment. `<any>` stands for any
value, `<token bob chat.*:r>` for a token, and `<epoch>` for an epoch; when sent, the last received one.
"""

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import aiohttp
import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.support.gateway import Pod, close_clients
from tests.support.repository import blocks
from tests.support.streams import Stream

ANY = "<any>"
EPOCH = "<epoch>"
PATIENCE = 10.0
"""Seconds after which a message counts as missing."""

_LINE = re.compile(r"(\w+) (connects|streams|is refused|closes|closed|ends|asks|gets|>|<) ?(.*)")
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_HEX = re.compile(r"[0-9a-f]{2}( [0-9a-f]{2})*")
_EXPECTING = ("is refused", "closed", "gets", "<")

Mint = Callable[[str, dict[str, str] | None], str]
"""Makes the token of a user, with rights by pattern or the default ones."""


def lines(page: str = "docs/protocol.md") -> list[str]:
    """The lines of the transcript on `page`."""
    [block] = blocks(page, "transcript")
    return [line for line in re.sub(r"\n +", " ", block).split("\n") if line and not line.startswith("#")]


def shown(line: str) -> str:
    """The part of a line after its sign."""
    return _parts(line)[2]


def matches(text: str, came: object) -> bool:
    """Whether `came` is the `text` of a line: a message, bytes, or a status or close code with its words."""
    if isinstance(came, tuple):
        number, _, rest = text.partition(" ")
        return number == str(came[0]) and (rest == came[1] if isinstance(came[1], str) else _same(_read(rest), came[1]))
    if isinstance(came, bytes):
        return bool(_HEX.fullmatch(text)) and bytes.fromhex(text) == came
    sentence, expected = json.loads(str(came)), _read(text)
    if not (isinstance(expected, dict) and _TIMESTAMP.fullmatch(sentence.pop("timestamp", ""))):
        return False
    # A client's payload must come out byte for byte.
    if sentence["type"] == "broadcast" and _payload(text) != _payload(str(came)):
        return False
    return _same(expected, sentence)


def alterations(line: str) -> Iterator[str]:
    """The variants of `line` with one other word, name or number; none where it expects nothing."""
    _, what, text = _parts(line)
    if what in _EXPECTING:
        for word in re.finditer(r'(?<!<)[\w.@-]+(?="|[^\w.@>-]|$)', text):
            yield f"{text[: word.end()]}1{text[word.end() :]}"


def _parts(line: str) -> tuple[str, str, str]:
    parsed = _LINE.fullmatch(line)
    assert parsed, f"not a line of a transcript: {line}"
    who, what, text = parsed.groups()
    return who, what, text


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _payload(text: str) -> bytes:
    fields = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    return bytes(fields.get("payload", b""))


def _same(expected: Any, came: Any) -> bool:
    if expected == ANY or (expected == EPOCH and isinstance(came, str)):
        return True
    if isinstance(expected, dict) and isinstance(came, dict):
        return expected.keys() == came.keys() and all(_same(expected[key], came[key]) for key in expected)
    if isinstance(expected, list) and isinstance(came, list):
        return len(expected) == len(came) and all(map(_same, expected, came))
    return type(expected) is type(came) and bool(expected == came)


class Differs(AssertionError):
    """A line did not happen. `number` is its index from 0."""

    def __init__(self, number: int, line: str, came: object) -> None:
        super().__init__(f"the transcript differs at line {number + 1}: {line}\nand what came is: {came!r}")
        self.number = number


class Player:
    """Plays a transcript to the gateway on two ports, and keeps what came for each expecting line."""

    def __init__(self, port: int, internal_port: int, api_key: str, mint: Mint) -> None:
        self._port = port
        self._internal_port = internal_port
        self._api_key = api_key
        self._mint = mint
        self._clients: dict[str, ClientConnection] = {}
        self._streams: dict[str, Stream] = {}
        self._last_ids: dict[str, str] = {}
        self._refused: dict[str, tuple[int, str]] = {}
        self._answer: tuple[int, Any] | None = None
        self._epoch = ""
        self.came: dict[str, object] = {}

    async def play(self, script: list[str]) -> None:
        """Plays line after line. At the end no client may have an unread message. Raises Differs."""
        try:
            for number, line in enumerate(script):
                came = await self._play(line)
                if came is not None:
                    self.came[line] = came
                    for epoch in re.findall(r'epoch"?\'?: ?"?\'?([\w-]+)', str(came)):
                        self._epoch = epoch
                    if not matches(shown(line), came):
                        raise Differs(number, line, came)
            if self._clients or self._streams or self._refused or self._answer:
                left = [*self._clients, *self._streams, *self._refused, self._answer]
                raise Differs(len(script), "(the end)", left)
        finally:
            await asyncio.gather(*(client.close() for client in self._clients.values()))
            # A name can have had several streams.
            await close_clients()

    async def _play(self, line: str) -> object:
        """Returns what came, for a line that expects something."""
        who, what, rest = _parts(line)
        if what == ">":
            rest = rest.replace(EPOCH, self._epoch)
        match what:
            case "connects":
                await self._connect(who, rest)
            case "is refused":
                return self._refused.pop(who, None) or (0, "let in")
            case ">" if who == "http":
                await self._request(rest)
            case ">":
                text = re.sub(r"<token (\w+) ?([^>]*)>", lambda token: self._token(token[1], token[2]), rest)
                await self._clients[who].send(bytes.fromhex(text) if _HEX.fullmatch(text) else text)
            case "<" if who == "http":
                answer, self._answer = self._answer, None
                return answer or (0, "no request")
            case "gets":
                answer, self._answer = self._answer, None
                return answer or (0, "no request")
            case "<" if who in self._streams:
                return await self._streams[who].data() or (0, "the end")
            case "<":
                return await self._hear(who)
            case _:
                return await self._begin_or_end(who, what, rest)
        return None

    async def _begin_or_end(self, who: str, what: str, rest: str) -> object:
        match what:
            case "streams":
                pod, last_id = Pod(self._port, self._internal_port), self._last_ids.get(who)
                self._streams[who] = await Stream.open(pod, self._token(who, ""), *rest.split(), last_id=last_id)
            case "asks":
                await self._ask(rest, self._port, self._token(who, ""))
            case "closes" if who in self._streams:
                stream = self._streams.pop(who)
                self._last_ids[who] = stream.last_id
                await stream.client.close()
            case "ends":
                came = await self._streams.pop(who).data()
                return None if came is None else (0, f"instead of the end: {came!r}")
            case "closes":
                await self._clients[who].close()
            case "closed":
                return await self._closed(who)
            case _:
                raise AssertionError(what)
        return None

    async def _connect(self, who: str, how: str) -> None:
        headers = {"Authorization": f"Bearer {self._token(who, how.removeprefix('with '))}"}
        try:
            self._clients[who] = await connect(
                f"ws://127.0.0.1:{self._port}/ws",
                subprotocols=["forestay.v1"],  # type: ignore[list-item]
                additional_headers={} if how == "without a token" else headers,
            )
        except InvalidStatus as refused:
            self._refused[who] = (refused.response.status_code, json.loads(refused.response.body or b"{}")["code"])

    def _token(self, user: str, rights: str) -> str:
        rooms = dict(word.rpartition(":")[::2] for word in rights.split() if ":" in word)
        return self._mint(user, rooms or None)

    async def _request(self, text: str) -> None:
        await self._ask(text, self._internal_port, self._api_key)

    async def _ask(self, text: str, port: int, bearer: str) -> None:
        method, path, body, *_ = [*text.split(" ", 2), ""]
        headers = {"Authorization": f"Bearer {bearer}", "Content-Type": "application/json"}
        data = body.encode()
        if _HEX.fullmatch(body):
            headers["Content-Type"], data = "application/octet-stream", bytes.fromhex(body)
        url = f"http://127.0.0.1:{port}{path}"
        async with aiohttp.request(method, url, data=data or None, headers=headers) as response:
            self._answer = (response.status, await response.json(content_type=None))

    async def _hear(self, who: str) -> object:
        client = self._clients[who]
        try:
            return await asyncio.wait_for(client.recv(), PATIENCE)
        except TimeoutError:
            return (0, "nothing came")
        except ConnectionClosed:
            return (client.close_code, client.close_reason)

    async def _closed(self, who: str) -> object:
        """Returns how the connection ended, or the message that came instead, which a transcript must show."""
        came = await self._hear(who)
        if came == (0, "nothing came"):
            return came
        if isinstance(came, tuple):
            del self._clients[who]
            return came
        return (0, f"instead of the end: {came!r}")
