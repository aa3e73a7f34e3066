"""Members of one room with different wires get the same messages, each in its own format."""

import asyncio
import random
from collections import Counter

from forestay.core.rules.lifecycle import State
from forestay.core.rules.policies import Policy, Retention, Slow
from forestay.ops.moves.drain import Drain, DrainTimes
from forestay.protocol import replies
from forestay.protocol.codes import ENDINGS, CloseCode
from forestay.protocol.message import Message
from forestay.protocol.names import RoomName
from forestay.protocol.wire import Wire
from tests.support.core import Core, RecordingTransport, frames, passes
from tests.support.line_wire import LineWire, lines
from tests.support.messages import changed

KEPT = Policy("kept.*", history=Retention(100, 60.0), presence=True, join_leave=True)


def of(transport: RecordingTransport) -> list[tuple[str, str, str, dict[str, str]]]:
    """The lines that a client of the line wire has read."""
    return lines(b"".join(transport.writes))


def payloads(transport: RecordingTransport) -> list[str]:
    """The payloads of the room messages among them."""
    return [fields["payload"] for name, _, _, fields in of(transport) if name == "message"]


def native(transport: RecordingTransport) -> list[object]:
    """The payloads of the broadcasts that a client of v1 has read."""
    return [each["payload"] for each in transport.heard() if each["type"] == "broadcast"]


class TextOnlyWire(LineWire):
    """Has no binary messages and no `ack`."""

    def message(self, message: Message, *, traced: bool) -> bytes:
        return b"" if message.binary else super().message(message, traced=traced)

    def reply(self, reply: replies.Reply) -> bytes:
        return b"" if isinstance(reply, replies.Ack) else super().reply(reply)


class CountingWire:
    """Another wire, which counts how often it encodes each message, by payload."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.name, self.liveness, self.relocates, self.tailed = wire.name, wire.liveness, wire.relocates, wire.tailed
        self.reply, self.ping, self.pong, self.close = wire.reply, wire.ping, wire.pong, wire.close
        self.encoded: Counter[bytes] = Counter()

    @property
    def plain(self) -> Wire:
        return self

    def message(self, message: Message, *, traced: bool) -> bytes:
        self.encoded[message.payload] += 1
        return self._wire.message(message, traced=traced)


async def test_a_message_is_encoded_once_for_each_wire() -> None:
    """Three members of each wire get the very same bytes, and each wire has encoded each message once.

    The members of a tailed wire have their positions after that, and cost no encoding of their own.
    """
    core, line, tailed = Core(KEPT), LineWire(), LineWire(tailed=True)
    v1 = CountingWire(core.pod.wires.plain)
    by_line = [core.join("a", wire=line)[1] for _ in range(3)]
    by_v1 = [core.join("a", wire=v1)[1] for _ in range(3)]
    told = [core.join("a", wire=tailed) for _ in range(3)]
    core.say(told[0][0], type="join", room="kept.b")
    speaker, _ = core.connect()
    await passes()
    for number in range(10):
        core.say(speaker, type="broadcast", room="a", payload=number)
    await passes()
    expected = {str(number).encode(): 1 for number in range(10)}
    assert (line.encoded, v1.encoded, tailed.encoded) == (expected, expected, expected)
    first, second, third = (transport.writes[-1] for _, transport in told)
    assert second is third
    assert first.startswith(second)
    assert [name for name, *_ in lines(first[len(second) :])] == ["tail"]
    assert by_line[0].writes[-1] is by_line[1].writes[-1] is by_line[2].writes[-1]
    assert by_v1[0].writes[-1] is by_v1[1].writes[-1] is by_v1[2].writes[-1]
    assert payloads(by_line[0]) == [str(number) for number in range(10)]
    assert native(by_v1[0]) == list(range(10))


async def test_a_room_keeps_no_audience_without_members() -> None:
    """When the last member of a wire leaves, the messages are no longer encoded for that wire."""
    core, line = Core(), LineWire()
    guest, _ = core.join("a", wire=line)
    core.join("a")
    speaker, _ = core.connect()
    await passes()
    core.say(guest, type="leave", room="a")
    core.say(speaker, type="broadcast", room="a", payload=1)
    await passes()
    assert not line.encoded
    assert core.pod.hub.by_wire == {"line": 1, "v1": 2}


async def test_what_a_wire_does_not_have_is_not_written() -> None:
    """Its members get no write for it and are not counted as recipients; the members of other wires get it."""
    core = Core()
    text_only, transport = core.join("a", wire=TextOnlyWire())
    by_v1, v1_transport = core.join("a")
    await passes()
    before, delivered = len(transport.writes), core.traffic.deliveries
    core.send_binary(by_v1, b"\x00\x00\x00\x01\xff")
    core.say(text_only, type="bind", room="a", payload={"type": 1}, id="b")
    await passes()
    assert frames(v1_transport.writes[-1]) == [b"\x00\x00\x00\x01\xff"]
    assert (len(transport.writes), core.traffic.deliveries - delivered) == (before, 1)
    text_only.end(ENDINGS[CloseCode.REVOKED])
    assert len(transport.writes) == before


async def test_a_slow_member_of_any_wire_gets_a_resync_or_is_ended() -> None:
    """The policy of the room decides for both wires, and the others notice nothing."""
    core, line = Core(Policy("drop.*", slow=Slow.DROP_OLDEST), send_buffer_bytes=4096), LineWire()
    _, slow = core.join("drop.a", wire=line)
    _, quick = core.join("drop.a")
    _, ended = core.join("end.a", wire=line)
    speaker, _ = core.connect()
    await passes()
    for transport in (slow, ended):
        transport.stuck, transport.waiting = True, 5000
    for room in ("drop.a", "end.a"):
        core.say(speaker, type="broadcast", room=room, payload="lost")
    await passes()
    assert ended.ending == ENDINGS[CloseCode.TOO_SLOW]
    assert native(quick) == ["lost"]
    slow.stuck, slow.waiting = False, 0
    core.say(speaker, type="broadcast", room="drop.a", payload="again")
    await passes()
    assert of(slow)[-2:] == [
        ("resync", "-", "drop.a", {"reason": "slow"}),
        ("message", "-", "drop.a", {"sender": "user-3", "payload": '"again"'}),
    ]


async def test_a_member_that_joined_late_or_is_left_out_is_so_on_each_wire() -> None:
    """`echo: false` leaves out the sender alone, and a new member gets only what comes after it."""
    core, line = Core(), LineWire()
    by_line, line_transport = core.join("a", wire=line)
    by_v1, v1_transport = core.join("a")
    await passes()
    core.say(by_line, type="broadcast", room="a", payload="from line", echo=False)
    core.say(by_v1, type="broadcast", room="a", payload="from v1", echo=False)
    late_line, late_v1 = core.join("a", wire=line)[1], core.join("a")[1]
    core.say(by_line, type="broadcast", room="a", payload="to all")
    await passes()
    assert payloads(line_transport) == ['"from v1"', '"to all"']
    assert native(v1_transport) == ["from line", "to all"]
    assert payloads(late_line) == ['"to all"']
    assert native(late_v1) == ["to all"]


async def test_nobody_leaves_out_the_connection_of_another_user() -> None:
    """The connection that a message names is left out only where it is one of the sender: also in what it missed."""
    core, line = Core(KEPT), LineWire()
    connection, transport = core.join("kept.a", "ada", wire=line)
    await asyncio.sleep(0.01)
    names_it = Message(RoomName("kept.a"), b"1", "", sender="bob", exclude=connection.id)
    core.bus.publish(names_it, kept=Retention(100, 60.0))
    core.bus.publish(changed(names_it, payload=b"2", sender="ada"), kept=Retention(100, 60.0))
    core.bus.publish(changed(names_it, payload=b"3", sender=None), kept=Retention(100, 60.0))
    await passes()
    assert payloads(transport) == ["1", "3"]
    assert [connection.is_left_out(changed(names_it, sender=sender)) for sender in ("bob", "ada", None)] == [
        False,
        True,
        False,
    ]


async def test_history_and_presence_are_the_same_on_each_wire() -> None:
    """A join with `since` gives what was missed; history and presence are answered; joins are announced."""
    core, line = Core(KEPT), LineWire()
    rights = {"**": "rwph"}
    writer, writer_transport = core.connect("writer", rights)
    core.say(writer, type="join", room="kept.a")
    await passes()
    for number in range(3):
        core.say(writer, type="broadcast", room="kept.a", payload=number, id=str(number))
    await passes()
    first = next(each["payload"] for each in writer_transport.heard() if each["type"] == "ack")
    reader, transport = core.connect("reader", rights, wire=line)
    core.say(reader, type="join", room="kept.a", id="j", since=first)
    await asyncio.sleep(0.01)
    await core.ask(reader, type="history", room="kept.a", id="h")
    await core.ask(reader, type="presence", room="kept.a", id="p")
    await passes()
    _welcome, joined, *rest = of(transport)
    assert joined == ("joined", "j", "kept.a", {"recovered": "true", "users": '["reader", "writer"]'})
    assert [(name, fields.get("payload")) for name, _, _, fields in rest[:2]] == [("message", "1"), ("message", "2")]
    assert rest[2:] == [
        ("history", "h", "kept.a", {"payloads": "[0, 1, 2]"}),
        ("presence", "p", "kept.a", {"users": '["reader", "writer"]'}),
    ]
    news = [each for each in writer_transport.heard() if each["type"] == "user-joined"]
    assert [each["payload"]["user"] for each in news] == ["reader"]
    core.say(writer, type="leave", room="kept.a")
    await passes()
    assert of(transport)[-1] == ("user-left", "-", "kept.a", {"payload": '{"user":"writer"}'})


async def test_a_drain_asks_and_ends_each_wire() -> None:
    """Each client is asked to reconnect and is then closed with 1001, after what it was still owed."""
    core, line = Core(), LineWire()
    _, by_line = core.join("a", wire=line)
    _, by_v1 = core.join("a")
    speaker, _ = core.connect()
    await passes()
    core.say(speaker, type="broadcast", room="a", payload="last")
    core.pod.lifecycle.move(State.READY)

    async def closed(seconds: float) -> None:
        """No socket waits for the answer to a close."""

    drain = Drain(core.pod.lifecycle, core.pod.hub, core.pod.relocation, closed, random.Random(1))
    await drain.run(DrainTimes(window=0.05, lead=0.02, close=0.1, deadline=5.0), asyncio.Event())
    assert [transport.ending and transport.ending.code for transport in (by_line, by_v1)] == [1001, 1001]
    assert payloads(by_line) == ['"last"']
    assert [name for name, *_ in of(by_line)] == ["welcome", "joined", "reconnect", "message"]
    assert [each["type"] for each in by_v1.heard()] == ["welcome", "joined", "reconnect", "broadcast"]
