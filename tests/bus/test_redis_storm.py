"""Many faults in a row: members of a room with history see no gap without a resync."""

import asyncio
import random
import time
from functools import partial

from forestay.core.ports.bus import Outcome, Settlement
from forestay.core.ports.runtime import Runtime
from forestay.core.rooms.recovery import Recovery
from forestay.core.rules.policies import Policies, Policy, Retention
from forestay.protocol.message import Message
from forestay.protocol.names import RoomName
from forestay.protocol.position import Position
from tests.bus.redis_pod import ROOM, NewPod, Pod, until
from tests.support.local_redis import RedisServer
from tests.support.subscriber import FunctionSubscriber
from tests.support.tasks import PlainTasks

HISTORY = Retention(size=5000, ttl=60.0)


class Members:
    """The messages and resyncs that the members of the room on one pod get."""

    def __init__(self, pod: Pod) -> None:
        self.pod = pod
        self.seen: list[Message | str] = []
        runtime = Runtime(
            asyncio.get_running_loop(), time.time, time.perf_counter, lambda: "id", random.uniform, PlainTasks()
        )
        policies = Policies([Policy(pattern="**", history=HISTORY)])
        self.recovery = Recovery(runtime, pod.bus, policies, self, 2**16)

    def deliver(self, message: Message) -> None:
        self.seen.append(message)

    def resync(self, name: RoomName, reason: str, position: Position | None) -> None:
        self.seen.append(reason)

    async def join(self) -> None:
        ready = asyncio.Event()
        subscriber = FunctionSubscriber(
            lambda: self.recovery.open(ROOM, ready.set), self.recovery.receive, lambda: self.recovery.doubt(ROOM)
        )
        self.pod.bus.subscribe(ROOM, subscriber)
        await ready.wait()

    @property
    def texts(self) -> list[str]:
        return [seen.payload.decode() for seen in self.seen if isinstance(seen, Message)]

    def gaps(self) -> int:
        """The number of messages that do not follow the one before, without a resync between."""
        gaps, last = 0, None
        for seen in self.seen:
            position = seen.position if isinstance(seen, Message) else None
            if last is not None and position is not None:
                gaps += position != Position(last.epoch, last.offset + 1)
            last = position
        return gaps


async def test_no_gap_without_a_resync(own_redis: RedisServer, new_pod: NewPod) -> None:
    """Two pods listen and one publishes, while connections are killed, and Redis freezes and restarts with old data."""
    listeners = [Members(new_pod(own_redis.url)) for _ in range(2)]
    sender = new_pod(own_redis.url)
    for pod in (sender, *(members.pod for members in listeners)):
        await pod.bus.start()
    await asyncio.gather(*(members.join() for members in listeners))
    settlements: dict[str, Settlement] = {}
    sending = True

    async def send() -> None:
        number = 0
        while sending:
            text = str(number)
            message = Message(ROOM, text.encode(), "now", "ada")
            sender.bus.publish(message, partial(settlements.__setitem__, text), kept=HISTORY)
            number += 1
            await asyncio.sleep(0.002)
        await until(lambda: len(settlements) == number)

    async def faults() -> None:
        rng = random.Random(11)
        for kind in ("pubsub", "normal", "freeze", "pubsub", "restart", "normal", "pubsub", "freeze"):
            await asyncio.sleep(rng.uniform(0.2, 0.5))
            if kind == "freeze":
                own_redis.freeze()
                await asyncio.sleep(1.5)
                own_redis.thaw()
            elif kind == "restart":
                own_redis.do("SAVE")
                await asyncio.sleep(0.1)
                own_redis.kill()
                await asyncio.sleep(0.3)
                await asyncio.to_thread(own_redis.start)
            else:
                own_redis.do("CLIENT", "KILL", "TYPE", kind)
            await until(lambda: sender.bus.up)

    task = asyncio.create_task(send())
    await faults()
    await until(lambda: all(members.pod.bus.up for members in listeners))
    await asyncio.sleep(0.5)
    sending = False
    await task
    await sender.publish("end", HISTORY)
    await until(lambda: all(members.texts[-1:] == ["end"] for members in listeners))
    for members in listeners:
        await members.recovery.stop()
        assert members.gaps() == 0
        texts = members.texts
        assert len(texts) == len(set(texts))
        refused = {text for text, settlement in settlements.items() if settlement.outcome is Outcome.REFUSED}
        assert refused.isdisjoint(texts)
        # Only the restart with older data is a loss.
        assert [seen for seen in members.seen if isinstance(seen, str)] == ["lost"]
    accepted = [text for text, settlement in settlements.items() if settlement.outcome is Outcome.ACCEPTED]
    assert len(accepted) > 500
