"""Everything at once: members of a room with history see no silent gap, whatever Redis goes through."""

import asyncio
import random
import time

from forestay.core.ports.bus import Outcome, Settlement
from forestay.core.ports.runtime import Runtime
from forestay.core.rooms.recovery import Recovery
from forestay.core.rules.policies import Policies, Policy, Retention
from forestay.protocol.message import Message, Position
from forestay.protocol.names import RoomName
from tests.bus.redis_pod import ROOM, NewPod, Pod, until
from tests.support.local_redis import RedisServer
from tests.support.tasks import PlainTasks

HISTORY = Retention(size=5000, ttl=60.0)


class Members:
    """What the members of the room on one pod were given."""

    def __init__(self, pod: Pod) -> None:
        self.pod = pod
        self.seen: list[Message | str] = []
        world = Runtime(asyncio.get_running_loop(), time.time, lambda: "id", random.uniform, PlainTasks())
        policies = Policies([Policy(pattern="**", history=HISTORY)])
        self.recovery = Recovery(world, pod.bus, policies, self)
        pod.bus.listen(self.recovery.receive, self.recovery.doubt)

    def deliver(self, message: Message) -> None:
        self.seen.append(message)

    def resync(self, name: RoomName, reason: str, position: Position | None) -> None:
        self.seen.append(reason)

    async def join(self) -> None:
        ready = asyncio.Event()
        self.pod.bus.subscribe(ROOM, lambda: self.recovery.open(ROOM, ready.set))
        await ready.wait()

    @property
    def words(self) -> list[str]:
        return [seen.payload.decode() for seen in self.seen if isinstance(seen, Message)]

    def gaps(self) -> int:
        """Places where something is missing, twice or out of order without a word about it."""
        gaps, last = 0, None
        for seen in self.seen:
            position = seen.position if isinstance(seen, Message) else None
            if last is not None and position is not None:
                gaps += position != Position(last.epoch, last.offset + 1)
            last = position
        return gaps


async def test_no_gap_is_silent(redis_server: RedisServer, new_pod: NewPod) -> None:
    """Two pods listen, one talks; connections are killed, Redis freezes, dies and comes back with an older state."""
    listeners = [Members(new_pod(redis_server.url)) for _ in range(2)]
    talker = new_pod(redis_server.url)
    for pod in (talker, *(members.pod for members in listeners)):
        await pod.bus.start()
    await asyncio.gather(*(members.join() for members in listeners))
    told: dict[str, Settlement] = {}
    talking = True

    async def talk() -> None:
        number = 0
        while talking:
            word = str(number)
            message = Message(ROOM, word.encode(), "now", "ada")
            talker.bus.publish(message, lambda settlement, word=word: told.update({word: settlement}), kept=HISTORY)  # type: ignore[misc]
            number += 1
            await asyncio.sleep(0.002)
        await until(lambda: len(told) == number)

    async def trouble() -> None:
        rng = random.Random(11)
        for kind in ("pubsub", "normal", "freeze", "pubsub", "restart", "normal", "pubsub", "freeze"):
            await asyncio.sleep(rng.uniform(0.2, 0.5))
            if kind == "freeze":
                redis_server.freeze()
                await asyncio.sleep(1.5)
                redis_server.thaw()
            elif kind == "restart":
                redis_server.do("SAVE")
                await asyncio.sleep(0.1)
                redis_server.kill()
                await asyncio.sleep(0.3)
                await asyncio.to_thread(redis_server.start)
            else:
                redis_server.do("CLIENT", "KILL", "TYPE", kind)
            await until(lambda: talker.bus.up)

    task = asyncio.create_task(talk())
    await trouble()
    await until(lambda: all(members.pod.bus.up for members in listeners))
    await asyncio.sleep(0.5)
    talking = False
    await task
    await talker.publish("end", HISTORY)
    await until(lambda: all(members.words[-1:] == ["end"] for members in listeners))
    for members in listeners:
        await members.recovery.stop()
        assert members.gaps() == 0
        words = members.words
        assert len(words) == len(set(words))
        refused = {word for word, settlement in told.items() if settlement.outcome is Outcome.REFUSED}
        assert refused.isdisjoint(words)
        # One restart with an older state is one loss, and nothing else was one.
        assert [seen for seen in members.seen if isinstance(seen, str)] == ["lost"]
    accepted = [word for word, settlement in told.items() if settlement.outcome is Outcome.ACCEPTED]
    assert len(accepted) > 500
