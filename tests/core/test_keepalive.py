"""Connections are pinged, and end where no answer comes, where the token expires, or where they get old."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from forestay.core.fanout.connection import Connection
from forestay.core.fanout.outbox import Outbox
from forestay.core.fanout.passes import Passes
from forestay.core.fanout.rests import Pace
from forestay.core.fanout.slow import SlowReaders
from forestay.core.rules.access import Identity, Rights
from forestay.core.rules.session_limits import KeepaliveTimes, SessionLimits
from forestay.core.sessions.keepalive import Keepalive, check_life
from forestay.core.sessions.relocation import Relocation
from forestay.protocol.codes import CloseCode, Ending
from forestay.protocol.wire import Liveness, Wire
from tests.support.cluster import BORN, ClusterPod, make_connection
from tests.support.core import V1, RecordingTransport
from tests.support.line_wire import LineWire
from tests.support.virtual_time import stall, virtual

PING, PONG = 25.0, 10.0
"""Seconds between pings, and seconds to answer one."""

TIMES = KeepaliveTimes(PING, PONG)

LEAD = 30.0

Draw = Callable[[float, float], float]


class Client:
    """One connection, and when it was pinged and ended."""

    def __init__(self, pod: "Pod", life: float, wire: Wire) -> None:
        self._pod = pod
        self._loop = pod.runtime.loop
        identity = Identity("alice", Rights({}), BORN + self._loop.time() + life)
        self.connection = make_connection(pod.runtime, identity, self._end, wire)
        transport = self.connection.transport
        assert isinstance(transport, RecordingTransport)
        self.transport = transport
        self.ended: tuple[int, float] | None = None
        """The close code and the loop time of the end."""
        pod.cluster.hub.add(self.connection)
        pod.keepalive.add(self.connection)

    @property
    def pings(self) -> int:
        """How many pings were written."""
        return self.transport.writes.count(self.connection.wire.ping())

    def pong(self) -> None:
        """The client answers, as the Dispatcher notes it."""
        self.connection.heard_at = self._loop.time()

    async def answer_pings(self, until: float) -> list[float]:
        """Answer each ping after a second. The loop times of the pings."""
        at, seen = [], self.pings
        while self._loop.time() < until:
            await asyncio.sleep(0.5)
            if self.pings > seen:
                seen = self.pings
                at.append(self._loop.time())
                await asyncio.sleep(1)
                self.pong()
        return at

    def _end(self, connection: Connection, ending: Ending) -> None:
        assert self.ended is None
        self.ended = (ending.code, self._loop.time())
        self._pod.keepalive.forget(connection)


class Pod:
    """Keepalive with all that it uses."""

    def __init__(self, max_age: float = 0.0, draw: Draw | None = None, times: KeepaliveTimes = TIMES) -> None:
        """`draw`: chooses by which factor the greatest age of a connection differs."""
        self.cluster = cluster = ClusterPod()
        self.runtime = runtime = replace(cluster.runtime, uniform=draw or cluster.runtime.uniform)
        slow = SlowReaders(1 << 20, None)
        outbox = Outbox(runtime, cluster.rooms, Passes(runtime, slow, Pace(0.0, 0.0)), slow)
        limits = SessionLimits(1 << 16, 0.0, 0.0, 0.0, 100, times, 0.0, max_age, LEAD)
        self.keepalive = Keepalive(runtime, limits, Relocation(runtime, cluster.registration, outbox, LEAD))

    def connect(self, life: float = 86_400.0, wire: Wire = V1) -> Client:
        """A connection whose token expires in `life` seconds."""
        return Client(self, life, wire)


@virtual
async def test_a_client_that_answers_is_pinged_at_regular_times() -> None:
    """One interval lies between two pings, also where an answer comes late."""
    client = Pod().connect()
    assert await client.answer_pings(until=4 * PING) == [PING, 2 * PING, 3 * PING, 4 * PING]
    assert client.ended is None


@pytest.mark.parametrize("answers_after", [1.0, 5.0])
@virtual
async def test_pings_keep_their_interval_where_an_answer_may_take_longer(answers_after: float) -> None:
    """With 10 s to answer and a ping every 3 s, a proxy that cuts after 6 s of silence never does so."""
    client = Pod(times=KeepaliveTimes(3.0, 10.0)).connect()
    loop = asyncio.get_running_loop()
    at: list[float] = []
    while loop.time() < 30.0:
        await asyncio.sleep(0.5)
        if client.pings > len(at):
            at.append(loop.time())
            loop.call_later(answers_after, client.pong)
    assert at == [3.0 * number for number in range(1, 11)]
    assert client.ended is None


@virtual
async def test_a_silent_client_is_pinged_until_it_ends() -> None:
    """Each interval has a ping. The time to answer runs from the first of them."""
    client = Pod(times=KeepaliveTimes(3.0, 10.0)).connect()
    await asyncio.sleep(60.0)
    assert (client.pings, client.ended) == (4, (CloseCode.NO_PONG, 13.0))


@virtual
async def test_a_stall_restarts_the_time_to_answer_of_clients_with_several_pings() -> None:
    """The checks at the pings in between do not end a client before its new time is over."""
    client = Pod(times=KeepaliveTimes(3.0, 10.0)).connect()
    await asyncio.sleep(7)
    stall(8.0)
    await asyncio.sleep(0)
    resumed = asyncio.get_running_loop().time()
    await asyncio.sleep(60.0)
    assert client.ended == (CloseCode.NO_PONG, resumed + 10.0)


@virtual
async def test_a_client_that_does_not_answer_ends() -> None:
    """It ends with 4408 when the time to answer is over, and was pinged once."""
    client = Pod().connect()
    await asyncio.sleep(10 * PING)
    assert (client.pings, client.ended) == (1, (CloseCode.NO_PONG, PING + PONG))


@virtual
async def test_a_message_before_the_ping_is_no_answer() -> None:
    """Only what comes after the ping counts as an answer."""
    client = Pod().connect()
    await asyncio.sleep(PING - 1)
    client.pong()
    await asyncio.sleep(PONG + 2)
    assert client.ended == (CloseCode.NO_PONG, PING + PONG)


@virtual
async def test_a_stall_of_the_loop_ends_no_connection() -> None:
    """A loop that was busy has not read the answers, so each client gets the time to answer again."""
    pod = Pod()
    answering, silent = pod.connect(), pod.connect()
    await asyncio.sleep(PING + 1)
    stall(3 * PONG)
    await asyncio.sleep(0)
    resumed = asyncio.get_running_loop().time()
    assert (answering.ended, silent.ended) == (None, None)
    answering.pong()
    await asyncio.sleep(2 * PONG)
    assert answering.ended is None
    assert silent.ended == (CloseCode.NO_PONG, resumed + PONG)


@virtual
async def test_nothing_is_written_to_a_closed_transport() -> None:
    """A client whose transport is closed ends like one that does not answer."""
    client = Pod().connect()
    client.transport.gone = True
    await asyncio.sleep(PING + PONG)
    assert (client.pings, client.ended) == (0, (CloseCode.NO_PONG, PING + PONG))


@pytest.mark.parametrize("life", [5.0, PING + 1.0, 0.0])
@virtual
async def test_a_connection_ends_when_its_token_expires(life: float) -> None:
    """It ends with 4401 at that time, between the pings too."""
    client = Pod().connect(life)
    await asyncio.sleep(life + PONG)
    assert client.ended == (CloseCode.TOKEN_EXPIRED, life)


@virtual
async def test_a_renewed_token_moves_the_end() -> None:
    """The old expiry is forgotten, a shorter one counts at once, and an unanswered ping is not."""
    client = (pod := Pod()).connect(PING + 5)
    await asyncio.sleep(PING + 1)
    client.connection.identity = Identity("alice", Rights({}), BORN + 300)
    pod.keepalive.watch(client.connection)
    await asyncio.sleep(PONG - 2)
    assert (client.pings, client.ended) == (1, None)
    client.pong()
    await asyncio.sleep(1)
    client.connection.identity = Identity("alice", Rights({}), BORN + PING + PONG + 3)
    pod.keepalive.watch(client.connection)
    await asyncio.sleep(PONG)
    assert client.ended == (CloseCode.TOKEN_EXPIRED, PING + PONG + 3)


@virtual
async def test_a_renewal_does_not_give_a_silent_client_more_time() -> None:
    """The answer to the ping is due at the same time as before the renewal."""
    client = (pod := Pod()).connect()
    await asyncio.sleep(PING + PONG / 2)
    pod.keepalive.watch(client.connection)
    await asyncio.sleep(PONG)
    assert client.ended == (CloseCode.NO_PONG, PING + PONG)


@virtual
async def test_an_old_connection_is_asked_to_move() -> None:
    """The request comes a lead before the greatest age, once, and the close with 1001 at that age."""
    client = Pod(max_age=300.0).connect()
    await client.answer_pings(until=300.0 - LEAD - 1)
    assert [said["type"] for said in client.transport.heard()] == []
    await client.answer_pings(until=300.0 - 1)
    [said] = client.transport.heard()
    assert (said["type"], said["payload"]["reason"], said["payload"]["within_ms"]) == ("reconnect", "age", 1000 * LEAD)
    assert client.connection.relocating == "age"
    await client.answer_pings(until=301.0)
    assert client.ended == (CloseCode.GOING_AWAY, 300.0)


@virtual
async def test_a_connection_that_gets_old_may_still_answer_its_ping() -> None:
    """The request to move comes while a ping is unanswered, and takes no time from the answer."""
    client = Pod(max_age=PING + 5 + LEAD).connect()
    await asyncio.sleep(PING + PONG - 1)
    assert (client.connection.relocating, client.ended) == ("age", None)
    client.pong()
    await asyncio.sleep(PONG)
    assert client.ended is None


@pytest.mark.parametrize(("draw", "age"), [(min, 270.0), (max, 330.0)])
@virtual
async def test_connections_of_one_time_end_at_different_times(draw: Draw, age: float) -> None:
    """The greatest age of a connection differs by up to a tenth."""
    client = Pod(300.0, draw).connect()
    await client.answer_pings(until=350.0)
    assert client.ended is not None
    code, at = client.ended
    assert (code, round(at, 6)) == (CloseCode.GOING_AWAY, age)


@virtual
async def test_a_connection_that_ended_is_not_checked() -> None:
    """It is not pinged, and the others are."""
    pod = Pod()
    gone, here = pod.connect(), pod.connect()
    pod.keepalive.forget(gone.connection)
    pod.keepalive.forget(gone.connection)
    await asyncio.sleep(PING + 1)
    assert (gone.pings, here.pings) == (0, 1)


@virtual
async def test_each_connection_is_checked_at_its_own_time() -> None:
    """A later connection may have an earlier check, and delays no other one."""
    pod = Pod()
    first = pod.connect()
    await asyncio.sleep(PING / 2)
    second, third = pod.connect(life=2.0), pod.connect()
    await asyncio.sleep(PING / 2 + 1)
    assert (first.pings, second.ended, third.pings) == (1, (CloseCode.TOKEN_EXPIRED, PING / 2 + 2), 0)
    await asyncio.sleep(PING / 2)
    assert third.pings == 1


@virtual
async def test_a_wire_that_is_only_kept_open_gets_a_ping_in_each_interval() -> None:
    """Its client never answers, and stays until its token expires."""
    client = Pod().connect(10 * PING + 5, LineWire(liveness=Liveness.KEPT_OPEN))
    await asyncio.sleep(10 * PING + 1)
    assert (client.pings, client.ended) == (10, None)
    await asyncio.sleep(PING)
    assert client.ended == (CloseCode.TOKEN_EXPIRED, 10 * PING + 5)


@virtual
async def test_a_renewal_puts_no_ping_off() -> None:
    """A stream whose token is renewed again and again gets a ping in each interval."""
    client = (pod := Pod()).connect(10 * PING, LineWire(liveness=Liveness.KEPT_OPEN))
    for _ in range(10):
        await asyncio.sleep(PING / 5)
        pod.keepalive.watch(client.connection)
    assert client.pings == 2


@virtual
async def test_a_wire_whose_transport_sees_to_its_clients_gets_no_ping() -> None:
    """The expiry of the token and the greatest age are kept all the same, also after a renewal."""
    wire = LineWire(liveness=Liveness.BY_TRANSPORT, relocates=False)
    pod = Pod()
    client = pod.connect(3 * PING + 1, wire)
    await asyncio.sleep(2 * PING)
    client.connection.identity = Identity("alice", Rights({}), BORN + 7 * PING)
    pod.keepalive.watch(client.connection)
    await asyncio.sleep(10 * PING)
    assert client.ended == (CloseCode.TOKEN_EXPIRED, 7 * PING)
    old = Pod(max_age=300.0 + LEAD).connect(wire=wire)
    start = asyncio.get_running_loop().time()
    await asyncio.sleep(500.0)
    assert old.ended == (CloseCode.GOING_AWAY, start + 300.0)
    assert client.transport.writes + old.transport.writes == []


@virtual
async def test_a_closed_keepalive_checks_nothing() -> None:
    """No ping is written after the pod stops; without connections closing does nothing."""
    Pod().keepalive.close()
    pod = Pod()
    client = pod.connect()
    pod.keepalive.close()
    await asyncio.sleep(10 * PING)
    assert (client.pings, client.ended) == (0, None)


@pytest.mark.parametrize("pinged_at", [number / 1000 for number in range(100_000, 100_050)])
def test_a_client_that_did_not_answer_is_given_up_at_the_planned_time(pinged_at: float) -> None:
    """At the very time that the check was planned for, the time is over, also where a difference would be rounded."""
    client = Silent(pinged_at)
    at = check_life(client, pinged_at + 0.05, 0.0, 1.0, 0.1)
    assert at is not None
    assert check_life(client, at, 0.0, 1.0, 0.1) is None


class Silent:
    """A client that was pinged and said nothing since."""

    def __init__(self, pinged_at: float) -> None:
        self.ping_at = pinged_at + 1.0
        self.pinged_at: float | None = pinged_at
        self.heard_at = pinged_at - 1

    def ping(self) -> None:
        """Not reached: it is given up before its next ping."""
