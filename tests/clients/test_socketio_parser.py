"""The parser of stock JavaScript clients reads every event that the Socket.IO wire writes, whoever published it."""

import json
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Final

import pytest

from forestay.protocol.attachments import embed
from forestay.protocol.message import Message
from forestay.protocol.names import RoomName
from forestay.protocol.socketio.packets import Decoder, Event
from forestay.protocol.socketio.wire import SocketioWire
from forestay.protocol.timestamps import timestamp
from tests.support.core import frames
from tests.support.node import node, run

pytestmark = pytest.mark.timeout(120)

LARGEST: Final = 100_000

# Reads packets, each a text and its attachments in base64. Prints for each what the parser makes of it, with binary
# parts as {"base64": …}, and the packet that it writes of this again.
PARSE: Final = """
import { readFileSync } from "node:fs";
import { Decoder, Encoder } from "socket.io-parser";
const base64 = (data) => Buffer.from(data).toString("base64");
const marked = (_, value) => (value?.type === "Buffer" ? { base64: base64(value.data) } : value);
const found = JSON.parse(readFileSync(process.argv[1])).map(([text, ...parts]) => {
  try {
    let packet;
    const decoder = new Decoder();
    decoder.on("decoded", (decoded) => { packet = decoded; });
    for (const part of [text, ...parts.map((part) => Buffer.from(part, "base64"))]) decoder.add(part);
    const data = JSON.stringify(packet.data, marked);
    const [again, ...binary] = new Encoder().encode(packet);
    return { nsp: packet.nsp, data: JSON.parse(data), again: [again, ...binary.map(base64)] };
  } catch (error) {
    return { error: String(error) };
  }
});
console.log(JSON.stringify(found));
"""

A, B = {"base64": b64encode(b"abc").decode()}, {"base64": ""}
FAKE: Final = {"_placeholder": True, "num": 0}

ARGUMENTS: Final[list[list[object]]] = [
    [],
    ["hi"],
    ["hi", {"n": [1.5, None, True]}, "Zürich \u2028 \U0001f600"],
    [A],
    [A, B, A],
    [{"deep": [{"er": [A]}]}, "between", B],
    [A] * 10,
    ['"', "\\", "\\\\", '{"_placeholder":true,"num":0}', A],
    [{'"': A, "\\": B, "_placeholde": 1, "placeholder": 2}],
]
"""Arguments of events, as a client wrote them."""

HOSTILE: Final[list[bytes]] = [
    b'[{"_placeholder":true,"num":0}]',
    b'[{"_placeholder":true,"num":99}]',
    b'[{"_placeholder":true}]',
    b'[{"\\u005fplaceholder":true,"num":-1}]',
    b'[{"a":[{"_placeholder":true,"num":"x"}]}]',
    b'[{"base64":true,"_placeholder":1}]',
    b"[ ]",
    b'["' + b"x" * 50_000 + b'"]',
    b'[{"__proto__":{"_placeholder":true,"num":7}}]',
    b"[" * 200 + b"]" * 200,
]
"""Payloads of events from native clients and backends."""


def packet(message: Message, namespace: str = "/") -> list[str]:
    """What goes to a client in `namespace`, without the `4` of Engine.IO: a text, and attachments in base64."""
    text, *parts = frames(SocketioWire(namespace).message(message, traced=False))
    return [text[1:].decode(), *(b64encode(part).decode() for part in parts)]


def embedded(arguments: list[object]) -> tuple[bytes, str]:
    """The payload of an event with these arguments, as it goes over the bus."""
    parts: list[bytes] = []

    def placed(value: object) -> object:
        match value:
            case {"base64": str(text)}:
                parts.append(b64decode(text))
                return {"_placeholder": True, "num": len(parts) - 1}
            case dict():
                return {key: placed(one) for key, one in value.items()}
            case list():
                return [placed(one) for one in value]
            case _:
                return value

    return embed(json.dumps(placed(arguments)).encode(), parts, LARGEST)


def parsed(packets: list[list[str]], js: Path, folder: Path) -> list[dict[str, object]]:
    """What the parser of stock clients makes of `packets`."""
    file = folder / "packets.json"
    file.write_text(json.dumps(packets))
    found: list[dict[str, object]] = json.loads(run(node(), "--input-type=module", "-e", PARSE, file, cwd=js))
    return found


def event(payload: bytes, binary_at: str = "", name: str = "e") -> Message:
    return Message(RoomName("admin.a"), payload, timestamp(0), "ada", event=name, binary_at=binary_at)


def test_stock_clients_read_what_others_sent(js: Path, tmp_path: Path) -> None:
    """Arguments and binary parts come as they were sent, in an own namespace too, and as `message`."""
    packets = []
    for arguments in ARGUMENTS:
        payload, binary_at = embedded(arguments)
        packets.append(packet(event(payload, binary_at)))
        packets.append(packet(event(payload, binary_at), "/admin"))
        packets.append(packet(Message(RoomName("a"), payload, timestamp(0), binary_at=binary_at)))
    packets.append(packet(Message(RoomName("a"), b"\0\0\0\7abc", timestamp(0), "ada", binary=True)))
    found = parsed(packets, js, tmp_path)
    for index, arguments in enumerate(ARGUMENTS):
        root, admin, message = found[3 * index : 3 * index + 3]
        assert (root.get("nsp"), root.get("data")) == ("/", ["e", *arguments])
        assert (admin.get("nsp"), admin.get("data")) == ("/admin", ["e", *arguments])
        assert message["data"] == ["message", {"room": "a", "payload": arguments, "timestamp": timestamp(0)}]
        read_again(root["again"], arguments)
    binary = found[-1]["data"]
    assert binary == ["message", {"room": "a", "payload": A, "timestamp": timestamp(0), "from": "ada", "type": 7}]


def read_again(texts: object, arguments: list[object]) -> None:
    """What the stock parser writes is read with the same payload, whatever is binary in it."""
    assert isinstance(texts, list)
    decoder = Decoder(LARGEST, 512)
    read = decoder.text(texts[0])
    for part in texts[1:]:
        read = decoder.binary(b64decode(part))
    assert isinstance(read, Event)
    payload, binary_at = embed(b"[%b]" % b",".join(map(bytes, read.arguments)), read.attachments, LARGEST)
    expected, places = embedded(arguments)
    assert json.loads(payload) == json.loads(expected)
    assert binary_at.count(",") == places.count(",")
    assert bool(binary_at) is bool(places)


def test_no_publisher_makes_a_stock_client_close(js: Path, tmp_path: Path) -> None:
    """Objects that look like placeholders come as they are: a packet without attachments has no placeholders."""
    packets = [packet(event(payload)) for payload in HOSTILE]
    packets += [packet(Message(RoomName("a"), payload, timestamp(0))) for payload in HOSTILE]
    found = parsed(packets, js, tmp_path)
    for payload, as_event, as_message in zip(HOSTILE, found[: len(HOSTILE)], found[len(HOSTILE) :], strict=True):
        assert as_event.get("data") == ["e", *json.loads(payload)]
        assert as_message["data"] == [
            "message",
            {"room": "a", "payload": json.loads(payload), "timestamp": timestamp(0)},
        ]


def test_the_stock_parser_is_harmed_by_what_is_refused(js: Path, tmp_path: Path) -> None:
    """Packets that the gateway would never write: each of them makes the parser raise, and its client close."""
    part = A["base64"]
    packets = [
        ['51-["e",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]', part],
        ['51-["e",{"_placeholder":true,"num":0},{"\\u005fplaceholder":true}]', part],
        ['2["disconnect"]'],
        ['2["connect_error"]'],
        ['511-["e"]', *[part] * 11],
    ]
    assert all("error" in one for one in parsed(packets, js, tmp_path))
