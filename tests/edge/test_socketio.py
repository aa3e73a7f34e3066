"""Socket.IO clients in the rooms of the gateway, without sockets: namespaces, entry, events and ends."""

import asyncio
import itertools
import json
import time
from typing import Any

import pytest

from forestay.bus.memory.bus import MemoryBus
from forestay.bus.memory.registry import MemoryRegistry
from forestay.core.ports.registry import Claim
from forestay.core.rooms.placement import Placing
from forestay.core.rules.access import Identity, Rights
from forestay.core.rules.events import Namespace as NoOwnEvents
from forestay.core.rules.policies import Policy, Retention, Slow
from forestay.edge.handshake.refused import Refused
from forestay.edge.socketio.client import MAX_NAMESPACES, Origin, SocketioClient
from forestay.edge.socketio.connecting import Connecting, CoreParts, Namespace, Randomness
from forestay.edge.socketio.transport import NamespaceTransport
from forestay.protocol.codes import ABNORMAL_CLOSURE, ENDINGS, CloseCode, Ending, ErrorCode, Refusal
from forestay.protocol.names import RoomName
from forestay.protocol.socketio.packets import Decoder
from forestay.protocol.socketio.reader import Reader
from forestay.protocol.socketio.wire import SocketioWire
from forestay.protocol.websocket.writing import text_frame
from tests.support.core import Core, passes
from tests.support.engine_session import RecordedSession, arguments

KEPT = Policy("kept.*", history=Retention(100, 60.0), presence=True, join_leave=True)
MINE = Policy("@me", history=Retention(100, 60.0))
SECRETS = (f"secret-{number:016}" for number in itertools.count())


class SlowRegistry(MemoryRegistry):
    """Answers a little later, as Redis does."""

    async def claim(self, user: str, connection: str, limit: int, *, replace: bool) -> Claim:
        claim = await super().claim(user, connection, limit, replace=replace)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return claim


LOST = Ending(ABNORMAL_CLOSURE, "connection lost")


class Clients:
    """Socket.IO clients of one pod. The token of a client is the name of its user, and all of them may do all."""

    def __init__(self, core: Core, *, rooms: tuple[str, ...] = (), rights: dict[str, str] | None = None) -> None:
        self.core = core
        self.rights = {"**": "rwph"} if rights is None else rights
        paths = ["/", "/admin", *(f"/n{number}" for number in range(MAX_NAMESPACES))]
        pod = core.pod
        self.waits: list[float] = []
        self.application = Connecting(
            {path: Namespace(SocketioWire(path), Reader(path, NoOwnEvents(path), 1000), rooms) for path in paths},
            CoreParts(pod.sessions, pod.rejoining, pod.dispatcher),
            Randomness(lambda: next(SECRETS), self._wait),
        )

    def _wait(self, shortest: float, longest: float) -> float:
        self.waits.append(shortest)
        return 0.0

    def session(self, *, deaf: bool = False, token: str | None = None, **refused: Refused) -> "Client":
        """A client that has opened a session, and is in no namespace."""
        tokens: dict[str, Identity | Refused] = dict(refused)
        for user in ("alice", "bob", "carol"):
            tokens.setdefault(user, Identity(user, Rights(self.rights), time.time() + 3600))
        session = RecordedSession(tokens)
        return Client(session, SocketioClient(session, Origin(None, token, deaf), self.application, Decoder(1000, 32)))

    async def enter(self, user: str, namespace: str = "/", **auth: object) -> "Client":
        """A client of `user` that is in `namespace`."""
        client = self.session()
        await client.connect(user, namespace, **auth)
        return client


class Client:
    """One client."""

    def __init__(self, session: RecordedSession, client: SocketioClient) -> None:
        self.session = session
        self.client = client
        self.pid = ""

    async def send(self, *messages: str | bytes) -> list[str | bytes]:
        """Send packets, and return what comes until nothing happens any more, without positions."""
        for message in messages:
            work = self.client.text(message) if isinstance(message, str) else self.client.binary(message)
            if work is not None:
                await work
        return await self.heard()

    async def heard(self) -> list[str | bytes]:
        """What comes until nothing happens any more, without positions."""
        await passes()
        return self.session.heard()

    async def ask_to_enter(self, user: str, namespace: str = "/", **auth: object) -> list[str | bytes]:
        """Send CONNECT with the token of `user`. All packets that come."""
        where = "" if namespace == "/" else f"{namespace},"
        packets = await self.send(f"0{where}{json.dumps({'token': user, **auth})}")
        for packet in packets:
            if isinstance(packet, str) and packet[0] == "0":
                self.pid = json.loads(packet[packet.index("{") :])["pid"]
        return packets

    async def connect(self, user: str, namespace: str = "/", **auth: object) -> str:
        """Send CONNECT with the token of `user`. The packet that comes last."""
        packet = (await self.ask_to_enter(user, namespace, **auth))[-1]
        assert isinstance(packet, str)
        return packet

    def brought(self) -> dict[str, str]:
        """What a stock client brings when it comes back."""
        return {"pid": self.pid, "offset": self.session.position or ""}


def events(packets: list[str | bytes]) -> list[list[Any]]:
    """The events among `packets`: name and arguments."""
    return [arguments(one) for one in packets if isinstance(one, str) and one[:1] in "25"]


def answer(packets: list[str | bytes]) -> dict[str, Any]:
    """The one answer that came."""
    [found] = [arguments(one)[0] for one in packets if isinstance(one, str) and one[:1] == "3"]
    assert isinstance(found, dict)
    return found


async def test_a_client_enters_a_namespace_by_its_token() -> None:
    """CONNECT is answered with an id of the connection and with a secret, and the client is heard from then on."""
    clients = Clients(Core())
    client = clients.session()
    packet = await client.connect("alice", "/admin")
    assert packet.startswith('0/admin,{"sid":"')
    [connection] = clients.core.pod.hub.of_user("alice")
    assert f'"sid":"{connection.id}","pid":"secret-' in packet
    assert (client.session.served_now, clients.core.pod.hub.by_wire) == (True, {"socketio": 1})
    assert answer(await client.send('2/admin,7["join-room","x"]')) == {"ok": True, "room": "x"}
    assert connection.rooms == {"admin.x"}


async def test_the_token_may_be_in_the_request() -> None:
    """A client without a token in its auth object is who the request that opened the session says."""
    clients = Clients(Core())
    client = clients.session(token="alice")
    assert (await client.send("0"))[0].startswith('0{"sid"')  # type: ignore[arg-type]
    assert (await client.send('0/admin,{"token":"bob"}'))[0].startswith('0/admin,{"sid"')  # type: ignore[arg-type]
    assert [len(clients.core.pod.hub.of_user(user)) for user in ("alice", "bob")] == [1, 1]


async def test_a_ticket_may_stand_for_the_token() -> None:
    """Where both are there the token counts, and the ticket is not used."""
    clients = Clients(Core())
    ticket = Identity("dora", Rights({"**": "rw"}), time.time() + 60)
    client = clients.session(**{"ticket t1": ticket})  # type: ignore[arg-type]
    assert (await client.send('0{"ticket":"t1"}'))[0].startswith('0{"sid"')  # type: ignore[arg-type]
    assert (await client.send('0/admin,{"ticket":"t1","token":"bob"}'))[0].startswith('0/admin,{"sid"')  # type: ignore[arg-type]
    assert [len(clients.core.pod.hub.of_user(user)) for user in ("dora", "bob")] == [1, 1]


@pytest.mark.parametrize(
    ("packet", "code"),
    [
        ("0", "bad_token"),
        ('0{"token":7}', "bad_token"),
        ('0{"token":"mallory"}', "bad_token"),
        ('0{"token":"revoked"}', "forbidden"),
    ],
)
async def test_a_refusal_is_told_with_its_code(packet: str, code: str) -> None:
    """A client that may not enter hears why and with which code. The session stays, so that it can try again."""
    client = Clients(Core()).session(revoked=Refused(403, Refusal(ErrorCode.FORBIDDEN, "the token is revoked")))
    [refused] = await client.send(packet)
    assert isinstance(refused, str)
    assert refused.startswith('4{"message":"')
    assert f'"data":{{"code":"{code}"}}' in refused
    assert (await client.connect("alice")).startswith("0{")


async def test_a_user_with_too_many_connections_is_refused() -> None:
    """Each namespace counts, and the refusal has the close code of the limit."""
    clients = Clients(Core(max_connections_per_user=1))
    first = await clients.enter("alice")
    second = clients.session()
    assert '"data":{"code":4409}' in await second.connect("alice")
    assert '"data":{"code":4409}' in await first.connect("alice", "/admin")
    assert first.session.ending is None
    assert len(clients.core.pod.hub) == 1


async def test_a_client_waits_where_the_gateway_cannot_decide() -> None:
    """Without keys to verify a token there is no answer: the session ends after a while, and the client comes back."""
    clients = Clients(Core())
    client = clients.session(later=Refused(503, Refusal(ErrorCode.UNAVAILABLE, "no keys")))
    assert await client.send('0{"token":"later"}') == []
    assert clients.waits == [1.0]
    assert client.session.ending is not None
    assert client.session.ending.code == CloseCode.TRY_AGAIN_LATER


async def test_unknown_namespaces_and_too_many_are_refused() -> None:
    """The words for an unknown one are those of Socket.IO's own server; a client can be in sixteen."""
    clients = Clients(Core())
    client = clients.session()
    assert await client.connect("alice", "/nowhere") == '4/nowhere,{"message":"Invalid namespace"}'
    for number in range(MAX_NAMESPACES):
        assert (await client.connect("alice", f"/n{number}")).startswith("0/n")
    assert "too_many_rooms" in await client.connect("alice", "/admin")
    await client.send("1/n3")
    assert (await client.connect("alice", "/admin")).startswith("0/admin")


async def test_a_client_that_asks_for_entry_again_and_again_is_slowed_down() -> None:
    """Beyond twice the namespaces, each entry waits a little."""
    client = Clients(Core()).session()
    before = asyncio.get_running_loop().time()
    for _ in range(2 * MAX_NAMESPACES + 1):
        await client.connect("alice", "/nowhere")
    assert asyncio.get_running_loop().time() - before >= 0.2


async def test_members_hear_each_other_across_wires_and_namespaces() -> None:
    """A native member hears a Socket.IO one and the other way; the room of a namespace has its prefix for others."""
    clients = Clients(Core())
    native, transport = clients.core.join("admin.x", "nina")
    here = await clients.enter("alice", "/admin")
    await here.send('2/admin,1["join-room","x"]')
    assert answer(await here.send('2/admin,2["message",{"room":"x","payload":{"a": 1},"echo":false}]')) == {"ok": True}
    heard = [one for one in transport.heard() if one["type"] == "broadcast"]
    assert [(one["from"], one["payload"], one["room"]) for one in heard] == [("alice", {"a": 1}, "admin.x")]
    clients.core.say(native, type="broadcast", room="admin.x", payload=[2])
    [[name, fields]] = events(await here.heard())
    assert (name, fields["room"], fields["from"], fields["payload"]) == ("message", "x", "nina", [2])


async def test_binary_goes_both_ways() -> None:
    """A buffer as payload is a native binary message, and a native one comes as a buffer with its type."""
    clients = Clients(Core())
    native, transport = clients.core.join("x", "nina")
    here = await clients.enter("alice")
    await here.send('2["join-room","x"]')
    clients.core.say(native, type="bind", room="x", payload={"type": 9})
    transport.writes.clear()
    text = '51-4["message",{"room":"x","payload":{"_placeholder":true,"num":0},"type":5,"echo":false}]'
    assert answer(await here.send(text, b"\xff")) == {"ok": True}
    assert b"\x00\x00\x00\x05\xff" in b"".join(transport.writes)
    clients.core.send_binary(native, b"\x00\x00\x00\x09\x01")
    event, buffer = await here.heard()
    assert isinstance(event, str)
    assert event.startswith('51-["message",{"room":"x","payload":{"_placeholder":true,"num":0}')
    assert '"type":9' in event
    assert buffer == b"\x01"


async def test_news_are_events() -> None:
    """Others hear who joins and who leaves a room that tells it, also when a client leaves the namespace."""
    clients = Clients(Core(KEPT))
    here, other = await clients.enter("alice"), await clients.enter("bob")
    await here.send('2["join-room","kept.a"]')
    await other.send('2["join-room","kept.a"]')
    assert events(await here.heard()) == [["user-joined", {"room": "kept.a", "userId": "bob"}]]
    await other.send("1")
    assert other.session.served_now is False
    await asyncio.sleep(0)
    assert clients.core.pod.hub.of_user("bob") == []


async def test_a_request_without_an_ack_is_answered_only_where_it_is_refused() -> None:
    """Its refusal is the event `error`; everything else says nothing."""
    client = await Clients(Core(), rights={"a": "r"}).enter("alice")
    assert await client.send('2["join-room","a"]') == []
    [[name, fields]] = events(await client.send('2["join-room","b"]'))
    assert (name, fields["code"], fields["room"]) == ("error", "forbidden", "b")
    [[name, fields]] = events(await client.send('2["whatever",1]'))
    assert (name, fields["code"]) == ("error", "unknown_type")
    assert answer(await client.send('21["whatever",1]'))["code"] == "unknown_type"
    assert answer(await client.send('21["x","\\ud800"]'))["code"] == "bad_json"
    assert answer(await client.send(f'5{2}-1["x"]', b"x" * 900, b"y" * 900))["code"] == "too_large"
    assert client.session.ending is None


async def test_answers_of_clients_are_taken() -> None:
    """Nothing waits for an ack of a client, with binary parts or without."""
    client = await Clients(Core()).enter("alice")
    assert await client.send("37[]", '61-7[{"_placeholder":true,"num":0}]', b"x") == []
    assert client.session.ending is None


async def test_a_room_is_asked_for_its_history_and_its_members() -> None:
    """`history` and `presence` answer by their ack, as the page shows it."""
    clients = Clients(Core(KEPT))
    client = await clients.enter("alice")
    await client.send('2["join-room","kept.a"]', '2["message",{"room":"kept.a","payload":1}]')
    page = answer(await client.send('21["history",{"room":"kept.a"}]'))
    assert [(one["from"], one["payload"]) for one in page["messages"]] == [("alice", 1)]
    assert answer(await client.send('22["presence","kept.a"]'))["members"] == [{"user": "alice", "connections": 1}]


@pytest.mark.parametrize(
    "packets",
    [["2[]"], ["2/admin,[1]"], ['2/admin,["x"]'], ["9"], [b"x"], ['51-["x"]', "1"], ["3[]"], ["4{}"]],
)
async def test_a_malformed_packet_closes_the_transport(packets: list[str | bytes]) -> None:
    """So does an event outside of the client's namespaces. Its connections end with the session."""
    clients = Clients(Core())
    client = await clients.enter("alice")
    assert await client.send(*packets) == []
    assert client.session.failure
    client.client.lost(LOST)
    assert len(clients.core.pod.hub) == 0


async def test_a_second_connect_changes_nothing() -> None:
    """A client that is in a namespace and asks again stays in it as it is."""
    client = await Clients(Core()).enter("alice")
    assert await client.send('2["join-room","a"]', '0{"token":"alice"}') == []
    assert answer(await client.send('21["leave-room","a"]'))["ok"]


async def test_nothing_is_taken_before_connect() -> None:
    """An event before the first CONNECT closes the transport."""
    client = Clients(Core()).session()
    await client.send('2["join-room","a"]')
    assert client.session.failure


async def test_the_namespaces_of_a_client_share_one_rate() -> None:
    """A client gets no more by entering more namespaces, and each refusal says when to come again."""
    clients = Clients(Core(message_rate=10, message_burst=50))
    client = await clients.enter("alice")
    await client.connect("alice", "/admin")
    answers = [answer(await client.send(f'2{where}1["join-room","a"]')) for where in ("", "/admin,") * 20]
    refused = [one for one in answers if not one["ok"]]
    assert 5 <= len(refused) <= 15
    assert all(one["code"] == "rate_limited" and one["retry_after_ms"] > 0 for one in refused)


async def test_a_client_that_floods_is_closed() -> None:
    """It hears refusals first, and then its session ends with 4429 and without a DISCONNECT, so it comes back."""
    clients = Clients(Core(message_rate=1, message_burst=1))
    client = await clients.enter("alice")
    for _ in range(80):
        await client.send(*['2["join-room","a"]'] * 1000)
        if client.session.ending is not None:
            break
    assert client.session.ending == ENDINGS[CloseCode.RATE_LIMITED]


@pytest.mark.parametrize("code", [CloseCode.REVOKED, CloseCode.CONNECTION_LIMIT])
async def test_a_client_that_must_stop_is_told_to_leave(code: CloseCode) -> None:
    """It gets DISCONNECT for the namespace; the others go on, and the session ends with the last one."""
    clients = Clients(Core())
    client = await clients.enter("alice")
    await client.connect("bob", "/admin")
    [first] = clients.core.pod.hub.of_user("alice")
    first.end(ENDINGS[code])
    assert await client.heard() == ["1"]
    # The client may not have heard it yet.
    assert await client.send('2["join-room","a"]', '21["x"]', "1") == []
    assert answer(await client.send('2/admin,1["join-room","a"]'))["ok"]
    [second] = clients.core.pod.hub.of_user("bob")
    second.end(ENDINGS[code])
    assert client.session.heard() == ["1/admin,"]
    assert (client.session.ending, client.session.cut) == (ENDINGS[code], False)


@pytest.mark.parametrize(
    "code",
    [
        CloseCode.GOING_AWAY,
        CloseCode.TOKEN_EXPIRED,
        CloseCode.TOO_SLOW,
        CloseCode.RATE_LIMITED,
        CloseCode.INTERNAL_ERROR,
        CloseCode.NO_PONG,
    ],
)
@pytest.mark.parametrize("deaf", [False, True])
async def test_a_client_that_may_come_back_hears_no_disconnect(code: CloseCode, *, deaf: bool) -> None:
    """Its session is closed with the code, all namespaces with it; one on OkHttp is cut, as it hears no close frame."""
    clients = Clients(Core())
    client = clients.session(deaf=deaf)
    await client.connect("alice")
    await client.connect("alice", "/admin")
    await client.send('2/admin,["join-room","x"]')
    first, second = clients.core.pod.hub.of_user("alice")
    clients.core.join("admin.x")
    first.end(ENDINGS[code])
    assert client.session.heard() == []
    assert (client.session.ending, client.session.cut) == (ENDINGS[code], deaf)
    assert second.ended is not None
    client.client.lost(LOST)
    assert len(clients.core.pod.hub) == 1


async def test_what_is_pending_is_written_before_the_end() -> None:
    """The messages of all namespaces of a session that ends are written, not only those of the first."""
    clients = Clients(Core())
    client = await clients.enter("alice")
    await client.connect("alice", "/admin")
    await client.send('2/admin,["join-room","x"]')
    talker, _ = clients.core.join("admin.x")
    clients.core.say(talker, type="broadcast", room="admin.x", payload=1)
    clients.core.pod.hub.of_user("alice")[0].end(ENDINGS[CloseCode.GOING_AWAY])
    assert [name for name, *_ in events(client.session.heard())] == ["message"]


async def test_a_client_that_is_gone_leaves_all_its_namespaces() -> None:
    """Its connections end with the session, however that ended."""
    clients = Clients(Core(KEPT))
    client = await clients.enter("alice")
    await client.connect("alice", "/admin")
    await client.send('2["join-room","kept.a"]')
    client.client.lost(LOST)
    assert len(clients.core.pod.hub) == 0
    assert clients.core.pod.rooms.get("kept.a") is None  # type: ignore[arg-type]


async def test_a_slow_client_is_told_to_read_or_ended() -> None:
    """The policy of the room decides, as for native clients."""
    clients = Clients(Core(Policy("drop.*", slow=Slow.DROP_OLDEST), send_buffer_bytes=4096))
    dropping, ending = await clients.enter("alice"), await clients.enter("bob")
    await dropping.send('2["join-room","drop.a"]')
    await ending.send('2["join-room","b"]')
    talkers = [clients.core.join(room)[0] for room in ("drop.a", "b")]
    for slow in (dropping, ending):
        slow.session.waiting = 10_000
    for talker, room in zip(talkers, ("drop.a", "b"), strict=True):
        clients.core.say(talker, type="broadcast", room=room, payload=1)
    await passes()
    assert ending.session.ending == ENDINGS[CloseCode.TOO_SLOW]
    dropping.session.waiting = 0
    await asyncio.sleep(0.15)
    assert events(await dropping.heard()) == [["resync", {"room": "drop.a", "reason": "slow"}]]


async def test_a_client_joins_the_rooms_of_its_namespace() -> None:
    """They are joined before the client is let in, and those without the right are left out."""
    clients = Clients(Core(), rooms=("lobby", "closed", "@me"), rights={"lobby": "r"})
    await clients.enter("alice")
    [connection] = clients.core.pod.hub.of_user("alice")
    assert connection.rooms == {"lobby", "@alice"}


async def test_a_client_is_recovered_on_another_pod() -> None:
    """It gets what it missed, then CONNECT with its old secret, and then what is live."""
    here, there = two_pods()
    client = await here.enter("alice")
    await client.send('2["join-room","kept.a"]', '2["join-room","kept.b"]', '2["join-room","@me"]')
    talker, _ = here.core.join("kept.a", "nina")
    here.core.say(talker, type="broadcast", room="kept.a", payload="heard")
    await client.heard()
    brought = client.brought()
    client.client.lost(LOST)
    for number in range(3):
        here.core.say(talker, type="broadcast", room="kept.a", payload=number)
    await passes()
    again = there.session()
    *missed, entered = await again.ask_to_enter("alice", **brought)
    assert [fields["payload"] for name, fields in events(missed) if name == "message"] == [0, 1, 2]
    assert isinstance(entered, str)
    assert entered.startswith('0{"sid"')
    assert f'"pid":"{brought["pid"]}"' in entered
    here.core.say(talker, type="broadcast", room="kept.b", payload="live")
    [[_, fields]] = events(await again.heard())
    assert fields["payload"] == "live"
    # And once more, from where it is now.
    again.client.lost(LOST)
    last = await here.session().ask_to_enter("alice", **again.brought())
    assert events(last) == []
    assert brought["pid"] in str(last)


async def test_positions_end_each_write_and_follow_the_rooms() -> None:
    """The text that a client brings back has all of its rooms, or none where one of them could not be recovered."""
    clients = Clients(Core(KEPT))
    client = await clients.enter("alice")
    assert client.brought()["offset"] == ""
    for packet, rooms in [
        ('2["join-room","kept.a"]', "kept.a 0"),
        ('2["message",{"room":"kept.a","payload":1}]', "kept.a 1"),
        ('2["join-room","live"]', ""),
        ('2["leave-room","live"]', "kept.a 1"),
        ('2["leave-room","kept.a"]', ""),
    ]:
        await client.send(packet)
        secret, *found = client.brought()["offset"].split(" ")
        assert (secret, " ".join(found[::3] + found[2::3])) == (client.pid, rooms)


@pytest.mark.parametrize(
    "change",
    [
        {"offset": ""},
        {"offset": "hello"},
        {"pid": "another-secret-of-a-client"},
        {"offset": "{pid} kept.a another 3"},
        {"offset": "{pid} kept.a {epoch} 99"},
        {"offset": "{pid} live e 1"},
        {"offset": "{pid} kept.a {epoch} 0 closed.a e 1"},
        {"offset": "{pid} kept.a {epoch} 0 @bob e 1"},
        {"offset": "{pid} not/a/room e 1"},
    ],
)
async def test_a_client_that_cannot_be_recovered_starts_again(change: dict[str, str]) -> None:
    """It gets a new secret and none of what it missed, and is in no room but those of its namespace."""
    here, there = two_pods(rooms=("lobby",), rights={"**": "rw", "closed.*": ""})
    client = await here.enter("alice")
    await client.send(
        '2["leave-room","lobby"]', '2["join-room","kept.a"]', '2["message",{"room":"kept.a","payload":1}]'
    )
    brought = client.brought()
    epoch = brought["offset"].split(" ")[2]
    brought |= {name: text.format(pid=brought["pid"], epoch=epoch) for name, text in change.items()}
    client.client.lost(LOST)
    again = there.session()
    [entered] = await again.ask_to_enter("alice", **brought)
    assert brought["pid"] not in str(entered)
    [connection] = there.core.pod.hub.of_user("alice")
    assert connection.rooms == {"lobby"}
    assert answer(await again.send('21["join-room","kept.a"]'))["ok"]


async def test_another_user_cannot_recover_what_it_may_not_read() -> None:
    """The rights are asked again: a secret opens no room."""
    here, there = two_pods(rights={"kept.a": "rw"})
    client = await here.enter("alice")
    await client.send('2["join-room","kept.a"]')
    there.rights = {}
    [entered] = await there.session().ask_to_enter("bob", **client.brought())
    assert client.brought()["pid"] not in str(entered)


@pytest.mark.parametrize("allowed", [True, False])
async def test_a_room_of_a_backend_is_recovered_where_the_token_allows_it(*, allowed: bool) -> None:
    """A client that a backend put into a room without the right to it starts again: no room comes back in part."""
    here, there = two_pods(rights={"kept.*" if allowed else "kept.a": "rw"})
    client = await here.enter("alice")
    await client.send('2["join-room","kept.a"]')
    placing = Placing("alice", RoomName("kept.b"), None, remove=False)
    assert await here.core.pod.all_pods.place(placing) == (1, [], True)
    await client.send('2["message",{"room":"kept.a","payload":1}]')
    brought = client.brought()
    assert brought["offset"].split(" ")[1::3] == ["kept.a", "kept.b"]
    client.client.lost(LOST)
    [*_, entered] = await there.session().ask_to_enter("alice", **brought)
    assert (brought["pid"] in str(entered)) == allowed
    [connection] = there.core.pod.hub.of_user("alice")
    assert connection.rooms == ({"kept.a", "kept.b"} if allowed else set())


async def test_a_client_that_ends_while_it_is_let_in_is_refused() -> None:
    """A token that is revoked while the bus is asked gets a CONNECT_ERROR, and no DISCONNECT."""
    clients = Clients(Core(KEPT), rooms=("kept.a",))
    client = clients.session()
    entering = asyncio.ensure_future(client.ask_to_enter("alice"))
    while not clients.core.pod.hub.of_user("alice"):
        await asyncio.sleep(0)
    clients.core.pod.hub.of_user("alice")[0].end(ENDINGS[CloseCode.REVOKED])
    assert await entering == ['4{"message":"access revoked","data":{"code":4403}}']
    assert client.session.ending == ENDINGS[CloseCode.REVOKED]


async def test_a_client_that_goes_while_it_is_let_in_leaves_nothing() -> None:
    """Its connection ends with its session, whatever is under way, and no user is counted for it."""
    bus = MemoryBus()
    clients = Clients(
        Core(KEPT, bus=bus, registry=SlowRegistry("p1", bus), max_connections_per_user=1), rooms=("kept.a",)
    )
    for turns in range(9):
        client = clients.session()
        entering = asyncio.ensure_future(client.ask_to_enter("alice"))
        for _ in range(turns):
            await asyncio.sleep(0)
        client.session.ending = LOST
        client.client.lost(LOST)
        await entering
        assert len(clients.core.pod.hub) == 0
        assert client.session.heard() == []


async def test_what_was_written_for_nothing_is_forgotten() -> None:
    """Until a client is let in, all that is written for it waits, and counts as waiting; then it is written at once."""
    client = Clients(Core()).session()
    transport = NamespaceTransport(client.client, SocketioWire("/"), "secret")
    client.session.waiting = 5
    transport.write(b"old")
    assert transport.buffered() == 8
    transport.drop_held()
    transport.write(text_frame(b"4b"))
    transport.release(text_frame(b"4a"), text_frame(b"4c"))
    transport.write(text_frame(b"4d"))
    assert client.session.take() == ["a", "b", "c", "d"]
    assert transport.buffered() == 5


def two_pods(*, rooms: tuple[str, ...] = (), rights: dict[str, str] | None = None) -> tuple[Clients, Clients]:
    """The clients of two pods with one bus."""
    here = Clients(Core(KEPT, MINE), rooms=rooms, rights=rights)
    return here, Clients(Core(KEPT, MINE, bus=here.core.bus, registry=here.core.registry), rooms=rooms, rights=rights)
