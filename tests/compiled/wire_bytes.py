"""Prints what this build reads and writes: replies, messages, refusals and requests, one per line.

Nothing in it depends on time or chance, so two builds print the same.
"""

import random
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import ParamSpec

from msgspec import Raw, Struct

from forestay import build
from forestay.protocol import envelope, replies
from forestay.protocol.attachments import embed, extract, fault_of_places
from forestay.protocol.codes import ENDINGS, ErrorCode, Refusal
from forestay.protocol.engineio.payloads import read_payload, write_payload
from forestay.protocol.events import Emission
from forestay.protocol.inspection import Inspector
from forestay.protocol.message import Kind, Message
from forestay.protocol.names import RoomName, escape, parse_room, unescape
from forestay.protocol.position import Position
from forestay.protocol.presence import Member, PresencePage
from forestay.protocol.requests import Unreadable
from forestay.protocol.socketio import packets
from forestay.protocol.socketio import reader as socketio
from forestay.protocol.socketio.wire import SocketioWire
from forestay.protocol.sse.event_ids import read_id
from forestay.protocol.sse.wire import SseWire
from forestay.protocol.trace import TraceContext
from forestay.protocol.v1.reader import Reader
from forestay.protocol.v1.wire import V1Wire
from forestay.protocol.wire import Wire
from tests.conformance.messages import Environment, noise, text_message

P = ParamSpec("P")
INPUTS = 1_500
ROOM, OTHER = RoomName("chat.a"), RoomName("@ada")
TRACE = TraceContext("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "a=b")
AT = Position("e1", 7)
LIMITS = replies.ClientLimits(25.0, 10.0, 5.0, 65536, 20.0, 40, 0.0, 100)
PAGE = PresencePage(3, 2, [Member("ada", 2, b'{"n":1.0}'), Member("böb", 1)], more=True)
PLACES = Environment("token", "other token", "key", "secret.room")


class NoRules:
    """An application without events of its own."""

    def find(self, event: str, arguments: Sequence[object]) -> Emission | None:
        return None


def main() -> None:
    """Print the build to standard error, and all lines to standard output."""
    print(build.kind(), file=sys.stderr)
    reader = Reader(24, 100)
    wires: list[Wire] = [V1Wire(lambda: 1.5, reader), SseWire(lambda: 1.5), SocketioWire("/"), SocketioWire("/chat")]
    messages = list(some_messages())
    for wire in wires:
        print(wire.name, wire.liveness, wire.relocates, wire.tailed, wire.ping(), wire.pong(b"x"))
        for ending in ENDINGS.values():
            print(wire.close(ending))
        for reply in some_replies(messages):
            print(type(reply).__name__, outcome(wire.reply, reply))
        for message, traced in product(messages, (False, True)):
            print(outcome(wire.message, message, traced=traced))
    for message in messages:
        data = envelope.encode(message)
        print(data, envelope.decode(data, message.position))
    read_all(reader)


def read_all(reader: Reader) -> None:
    """Print what becomes of input, good and bad, the same in each run."""
    inspector, events = Inspector(70_000, 24), socketio.Reader("/chat", NoRules(), 65_536)
    rng = random.Random("wire bytes")
    for number in range(INPUTS):
        data = text_message(rng, PLACES) if number % 4 else noise(rng)[1]
        text = data.decode("utf-8", "replace")[:20_000]
        print(number, outcome(reader.read, text.encode()))
        for head in ("2", "4", "42", "40/chat,", "42/chat,7", "451-", "3", "431-2"):
            print(outcome(packets.Decoder(65_536, 24).text, head + text))
        name = rng.choice(("auth", "history", "join-room", "leave-room", "message", "presence", "x"))
        print(outcome(read_event, events, f'2["{name}",{text}]'))
        places = f"{rng.randrange(len(data) + 3)}:{rng.randrange(9)},{rng.randrange(len(data) + 9)}:{rng.randrange(99)}"
        print(outcome(fault_of_places, data, places))
        print(outcome(embed, data, [b"ab", b""], 65_536))
        print(outcome(parse_room, text), outcome(escape, text), outcome(unescape, text[:99]))
        print(outcome(read_id, text[:300], [ROOM, OTHER]))
        print(outcome(read_whole, data))
        message = Message(ROOM, data, "2026-11-22T12:00:00.123Z", binary=number % 3 == 0)
        print(outcome(inspector.inspect, message))
        print(outcome(envelope.decode, b"\x01" + data))
    print(write_payload([b"\x81\x01a", b"\x82\x02bc"]), extract(b'["YWI=",""]', "1:6,8:2"))


def read_event(events: socketio.Reader, text: str) -> object:
    """The request in a packet of Socket.IO, or the packet where it is no event."""
    packet = packets.Decoder(65_536, 24).text(text)
    return events.read(packet) if isinstance(packet, packets.Event) else packet


def read_whole(body: bytes) -> list[str | bytes]:
    """All packets of a payload."""
    return list(read_payload(body))


def outcome(act: Callable[P, object], *arguments: P.args, **more: P.kwargs) -> object:
    """What `act` returns, or what it raises and says."""
    try:
        return shown(act(*arguments, **more))
    except Exception as error:  # noqa: BLE001  # a bug of one build is what this looks for
        return shown(error)


def shown(value: object) -> object:
    """`value` with all that it holds, and no address of an object."""
    match value:
        case Raw():
            return bytes(value)
        case Unreadable():
            return ("unreadable", shown(value.refusal), value.id, value.room)
        case Refusal():
            return ("refusal", value.code, value.message, value.retry_after)
        case Exception():
            return (type(value).__name__, str(value))
        case Struct():
            return (type(value).__name__, [shown(getattr(value, name)) for name in value.__struct_fields__])
        case list() | tuple():
            return [shown(one) for one in value]
        case _:
            return value


def some_messages() -> Iterator[Message]:
    """Each kind of message, with and without each field."""
    stamp = "2026-11-22T12:00:00.123Z"
    for sender, position, trace in product((None, "ada", 'b"\u2028'), (None, AT), (None, TRACE)):
        for payload in (
            b"1.0",
            b'{"a":[true,1e400,"\\u2028"]}',
            "ü".encode().join((b'"', b'"')),
            b'"%s"' % (b"x" * 70_000),
        ):
            yield Message(ROOM, payload, stamp, sender, trace=trace, position=position)
        yield Message(OTHER, b"\x00\x00\x00\x07abc", stamp, sender, binary=True, trace=trace, position=position)
        yield Message(ROOM, b"[1,true]", stamp, sender, trace=trace, position=position, event="moved")
        yield Message(
            ROOM,
            b'["QUJD",2]',
            stamp,
            sender,
            trace=trace,
            position=position,
            event="blob",
            binary_at="1:6",
            exclude="c",
        )
    for kind in (Kind.USER_JOINED, Kind.USER_LEFT):
        yield Message(ROOM, b'{"user":"ada","info":{"n":1.0}}', stamp, "ada", kind=kind)


def some_replies(messages: Sequence[Message]) -> Iterator[replies.Reply]:
    """Each reply, with and without each field, and each refusal."""
    texts = [message for message in messages if not message.binary][:9]
    yield replies.Welcome("c1", "ada", LIMITS)
    yield replies.Reconnect("draining", 1.5, 30.0)
    for id in (None, "7", 'a"b'):
        yield replies.Pong(id)
        yield replies.Left(id, ROOM)
        yield replies.Left(id, OTHER, "forbidden")
        yield replies.PresenceReply(id, ROOM, PAGE)
        yield replies.HistoryReply(id, ROOM, "e1", texts, more=True, newest=False)
        yield replies.HistoryReply(id, ROOM, "e1", texts, more=False, newest=True)
        for room, position in product((None, ROOM), (None, AT)):
            yield replies.Ack(id, room, position)
        for position, recovered, members in product((None, AT), (None, False, True), (None, PAGE)):
            yield replies.Joined(id, ROOM, position, recovered, members)
        for code, retry_after in product(ErrorCode, (None, 0.0014, 3.0)):
            yield replies.Error(id, "chat.a", Refusal(code, "why", retry_after=retry_after))
        yield replies.Error(id, None, Refusal(ErrorCode.BAD_JSON, "why \ud800"))
    for reason, position in product(("lost", "missed", "slow"), (None, AT)):
        yield replies.Resync(ROOM, reason, position)


if __name__ == "__main__":
    main()
