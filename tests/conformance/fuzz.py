"""A storm of hostile input against a real gateway, while ordinary clients keep working.

What must hold: the process lives and logs no error. Well-formed messages never end a connection, and broken streams end
it as the standard says. Witnesses get answers, and their own room in order. Memory, files and connections return to
where they were.
"""

import asyncio
import itertools
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import assert_never

from tests.conformance.gateway import PATIENCE, GatewayProcess
from tests.conformance.inputs import Asked, Cut, Said, Streamed, make
from tests.conformance.line import Line
from tests.conformance.messages import Environment
from tests.conformance.wire import CLOSE, FIN, Wire, close_payload, connect, frame
from tests.conformance.witness import ROOM, Witnesses

say = partial(print, flush=True)

_CONNECTIONS = 16
# Inputs between two pings: few enough to find the one that ended a connection.
_BATCH = 16
# Batches per connection. Then another one is opened, because connects and closes are part of the storm.
_BATCHES = 20
_MOST_FAILURES = 20
# An incomplete request gets no answer, so silence proves nothing.
_A_MOMENT = 0.25
_SETTLED_AFTER = 0.2
"""The share of inputs after which caches are full and memory must not grow."""
_GROWTH = 24.0
"""MiB that memory may grow after that, for the allocator. A leak of one KiB per input would be four times as much."""
_SETTINGS = {
    "MESSAGE_RATE": "0",
    "MESSAGE_BYTES_RATE": "0",
    # The storm and its witnesses share one process, which may read late. The cap itself is tested elsewhere.
    "SEND_BUFFER_BYTES": str(32 * 2**20),
    "LOG_LEVEL": "INFO",
}


@dataclass(frozen=True, slots=True)
class Plan:
    seed: int
    numbers: Sequence[int]


class Storm:
    def __init__(self, plan: Plan, gateway: GatewayProcess) -> None:
        self._plan = plan
        self._gateway = gateway
        self._numbers: Iterator[int] = iter(plan.numbers)
        token = gateway.token("fuzz", {"fuzz.**": "rwph"})
        self._environment = Environment(token, gateway.token("other", {"**": "rwph"}), gateway.api_key, ROOM)
        self.failures: list[str] = []
        self.kinds: Counter[str] = Counter()
        self.ends: Counter[str] = Counter()
        self.memory: list[tuple[int, float]] = []
        """The number of inputs so far, and MiB."""
        self._recent: deque[int] = deque(maxlen=4 * _CONNECTIONS)

    def report(self, what: str, numbers: Iterable[int] = ()) -> None:
        which = ",".join(map(str, numbers))
        where = f"--only {which}" if which else f"about input {self._recent[-1] if self._recent else 0}"
        self.failures.append(f"seed {self._plan.seed} {where}: {what}")

    @property
    def done(self) -> int:
        return self.kinds.total()

    async def run(self) -> None:
        watch = asyncio.create_task(self._watch())
        try:
            async with asyncio.TaskGroup() as group:
                for name in range(_CONNECTIONS):
                    group.create_task(self._work(name))
        finally:
            watch.cancel()

    def _finished(self) -> bool:
        """Whether more inputs would give no new information."""
        return len(self.failures) >= _MOST_FAILURES or not self._gateway.alive

    async def _work(self, name: int) -> None:
        numbers = iter(lambda: next(self._numbers, None), None)
        while not self._finished() and (share := list(itertools.islice(numbers, _BATCH * _BATCHES))):
            line = await self._line(share[:1])
            for start in range(0, len(share), _BATCH):
                batch = share[start : start + _BATCH]
                if not await self._batch(line, batch):
                    await line.hang_up()
                    line = await self._line(batch)
                if self._finished():
                    break
            if share[0] % 2:
                await line.send(frame(FIN | CLOSE, close_payload(1000), b"\x01\x02\x03\x04"))
                await line.ended()
            await line.hang_up(reset=share[0] % 3 == 0)

    async def _line(self, numbers: Sequence[int]) -> Line:
        wire = await connect(self._gateway.port, self._environment.token)
        return Line(wire, lambda what: self.report(what, numbers if len(numbers) == 1 else ()))

    async def _batch(self, line: Line, numbers: Sequence[int]) -> bool:
        """Sends the inputs. Returns whether the connection for well-formed messages lives, as it must."""
        sent = []
        for number in numbers:
            self._recent.append(number)
            kind, given = make(self._plan.seed, number, self._environment)
            self.kinds[kind] += 1
            match given:
                case Said(data):
                    sent.append(number)
                    await line.send(data)
                case Streamed():
                    await self._streamed(number, given)
                case Cut():
                    await self._cut(number, given)
                case Asked():
                    await self._asked(number, given)
                case _:
                    assert_never(given)
        if await line.lives(str(numbers[0]).encode()):
            return True
        self.report(f"well-formed messages ended a connection with {await line.ended()}", sent)
        return False

    async def _streamed(self, number: int, given: Streamed) -> None:
        line, verdict = await self._line([number]), given.verdict
        for part in given.parts:
            await line.send(part)
            await asyncio.sleep(0)
        if verdict.waits:
            self.ends["waits"] += 1
        elif verdict.codes:
            code = await line.ended()
            self.ends[str(code)] += 1
            if code not in verdict.codes:
                self.report(f"a stream ended with {code} instead of {sorted(verdict.codes)}", [number])
        else:
            self.ends["lives"] += 1
            if not await line.lives(b"sign"):
                self.report(f"a stream without fault ended with {await line.ended()}", [number])
        await line.hang_up(reset=number % 2 == 0)

    async def _cut(self, number: int, given: Cut) -> None:
        if given.upgraded:
            line = await self._line([number])
            await line.send(given.data)
            await line.hang_up(reset=given.reset)
        else:
            wire = await Wire.open(self._gateway.port)
            await wire.send(given.data)
            wire.hang_up(reset=given.reset)

    async def _asked(self, number: int, given: Asked) -> None:
        wire = await Wire.open(self._gateway.internal_port if given.internal else self._gateway.port)
        await wire.send(given.data)
        try:
            async with asyncio.timeout(_A_MOMENT):
                head = await wire.answer()
        except TimeoutError:
            head = b""
        finally:
            wire.hang_up(reset=number % 2 == 0)
        status = head[9:12].decode("latin-1")
        self.ends[f"HTTP {status or 'nothing'}"] += 1
        if head and not head.startswith(b"HTTP/"):
            self.report(f"not an HTTP answer: {head[:100]!r}", [number])
        # A status of 500 or above is our bug: no input here justifies one.
        if status >= "500":
            self.report(f"an HTTP request was answered with {head[:200]!r}", [number])
        environment = self._environment
        keys = (environment.api_key,) if given.internal else (environment.token, environment.foreign_token)
        welcome = status == "101" or (given.internal and status == "200" and b" /v1/" in given.data[:40])
        if welcome and not any(key.encode() in given.data for key in keys):
            self.report("let in without its key", [number])

    async def _watch(self) -> None:
        started = time.monotonic()
        while True:
            self.memory.append((self.done, self._gateway.memory))
            speed = self.done / max(time.monotonic() - started, 0.001)
            say(f"  {self.done:>7} inputs, {speed:.0f}/s, {self.memory[-1][1]:.0f} MiB, {len(self.failures)} failures")
            await asyncio.sleep(5.0)


async def fuzz(plan: Plan) -> bool:
    """Runs the storm. Returns whether everything held."""
    async with GatewayProcess(_SETTINGS) as gateway:
        storm = Storm(plan, gateway)
        async with Witnesses(gateway, storm.report) as witnesses:
            files, connections = gateway.files, await gateway.metric("forestay_connections")
            await storm.run()
            if gateway.alive:
                await witnesses.finish()
                await _settle(storm, gateway, files, connections)
                code = await gateway.stop()
                await witnesses.over()
                if code or witnesses.close_codes != [1001] * 3:
                    storm.report(f"it exited with {code}, and closed the witnesses with {witnesses.close_codes}")
            else:
                storm.report("the process is dead")
        for origin, (count, first) in gateway.trouble.items():
            storm.report(f"logged {count} times at error level: {origin}; the first: {first[:3000]}")
        _summary(storm, witnesses, gateway)
    return not storm.failures and storm.done == len(plan.numbers)


async def _settle(storm: Storm, gateway: GatewayProcess, files: int, connections: float) -> None:
    """Checks that everything the storm used is released."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        left = await gateway.metric("forestay_connections") - connections
        # The request itself has an open file, now as before.
        open_files = gateway.files - files
        if left <= 0 and open_files <= 1:
            break
        await asyncio.sleep(0.5)
    else:
        storm.report(f"{left:g} connections and {open_files} files more than before are still open")
    rooms = await gateway.metric("forestay_rooms")
    if rooms != 2:
        storm.report(f"{rooms:g} rooms are left, and the witnesses are in 2")
    storm.memory.append((storm.done, gateway.memory))
    settled = [size for count, size in storm.memory if count >= _SETTLED_AFTER * len(storm._plan.numbers)]
    growth = settled[-1] - settled[0] if settled else 0.0
    if growth > _GROWTH:
        storm.report(f"memory grew by {growth:.0f} MiB after the first {_SETTLED_AFTER:.0%} of the inputs")


def _summary(storm: Storm, witnesses: Witnesses, gateway: GatewayProcess) -> None:
    sizes = [size for _, size in storm.memory]
    say(f"\n{storm.done} inputs: {_list(storm.kinds)}")
    say(f"streams and requests: {_list(storm.ends)}")
    say(f"memory: {sizes[0]:.0f} MiB at the start, {max(sizes):.0f} at most, {sizes[-1]:.0f} at the end")
    say(f"witnesses: {witnesses.heard} of {witnesses.sent} messages in order, {witnesses.overheard} overheard,")
    say(f"  {witnesses.pings} pings answered, the slowest after {witnesses.slowest_pong * 1000:.0f} ms")
    say(f"log: {_list(gateway.events)}")
    for failure in storm.failures:
        say(f"FAILED {failure}")
    say("everything held" if not storm.failures else f"{len(storm.failures)} failures")


def _list(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
