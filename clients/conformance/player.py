"""Plays one scenario: each step to the adapter or to the scripted gateway, and what it expects, waited for."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from websockets.exceptions import WebSocketException

from clients.conformance import adapter, gateway
from clients.conformance.adapter import PATIENCE, Adapter
from clients.conformance.gateway import Connection, Gateway
from clients.conformance.lanes import Ended
from clients.conformance.matching import Known, addressed, differences, filled
from clients.conformance.scenario import WEBSOCKET, Scenario, Step
from clients.conformance.streams import Streamed

WELCOME: Final[Mapping[str, Any]] = {
    "connection": "c",
    "user": "alice",
    "protocol": "forestay.v1",
    "ping_interval_ms": 25_000,
    "pong_timeout_ms": 10_000,
    # Short, so that a scenario in which a client comes back takes no longer than it must.
    "reconnect_spread_ms": 50,
    "limits": {"message_bytes": 65_536, "rate": 200, "rooms": 100},
}
# Seconds, for what was said last to be heard, and to be told by the adapter.
_ON_ITS_WAY: Final = 0.1
# What an application would notice. A change of state that a scenario says nothing about is none of them.
_NOTICED: Final = frozenset({"message", "binary", "resync", "joined", "moved", "presence-change", "result", "failure"})


class Broken(Exception):
    """What came is not what the scenario shows."""


class Player:
    """One scenario with one adapter."""

    def __init__(self, scenario: Scenario, sdk: Adapter, there: Gateway, known: Known, over: str) -> None:
        """`over`: what carries the connections, where the scenario does not say."""
        transports = {} if over == WEBSOCKET else {"transports": [over]}
        self._options = {**transports, **scenario.options}
        self._scenario = scenario
        self._adapter = sdk
        self._gateway = there
        self._known = known
        self._open: list[Connection | Streamed] = []
        self._forbidden: list[object] = []
        self._forgiven: list[object] = []
        self._violations: list[str] = []
        self._judged = 0
        """How many attempts to connect the scenario has answered."""
        self._mark = time.monotonic()
        self.noted: float | None = None
        """Seconds from the last close to the connection that was noted."""
        sdk.watch = self._watch

    async def play(self) -> None:
        """All steps in their order. Raises Broken, or Ended where one end is gone."""
        for number, step in enumerate(self._scenario.steps, 1):
            try:
                await self._verbs[step.verb](self, step)
            except (TimeoutError, WebSocketException, KeyError) as failed:
                raise Broken(f"step {number}: {step}\n  {self._waited(failed)}") from None
            except (Broken, Ended) as failed:
                raise type(failed)(f"step {number}: {step}\n  {failed}") from None
            if self._adapter.unsupported:
                raise Ended("the SDK has no such feature")
            if self._violations:
                raise Broken(f"by step {number}: {step}\n  {self._violations[0]}")
        await self._settle()

    async def _settle(self) -> None:
        """Nothing is left over: no event, no message of the client's, no connection."""
        await asyncio.sleep(_ON_ITS_WAY)
        if (status := await self._adapter.end()) != 0:
            raise Broken(f"the adapter ended with {status} when its input did")
        noticed = [event for event in self._adapter.left() if event["on"] in _NOTICED]
        said = [f"{each} on connection {one.number}" for one in self._open for each in self._unasked(one)]
        extra = [f"connection {one.number}" for one in self._gateway.connections[self._judged :]]
        if unexpected := [*self._violations, *map(str, noticed), *said, *extra]:
            raise Broken("came, and the scenario knows nothing of it:\n  " + "\n  ".join(unexpected))

    def _unasked(self, connection: Connection | Streamed) -> list[dict[str, Any]]:
        """What a client said that the scenario neither heard nor forgives."""
        left = (each for _, each in connection.heard.left())
        return [each for each in left if all(differences(one, each, dict(self._known)) for one in self._forgiven)]

    def _watch(self, event: dict[str, Any]) -> None:
        for shown in self._forbidden:
            if not differences(shown, event, dict(self._known)):
                self._violations.append(f"came, and must not: {event}")

    def _waited(self, failed: Exception) -> str:
        return "did not come in time" if isinstance(failed, TimeoutError) else f"cannot be done: {failed}"

    def _patience(self, step: Step) -> float:
        return float(step.more["within_ms"]) / 1000 if "within_ms" in step.more else PATIENCE

    def _connection(self, number: int | None) -> Connection | Streamed:
        """One by its number, else the one opened last."""
        return self._gateway.connections[number - 1] if number else self._open[-1]

    def _compare(self, shown: object, came: object) -> None:
        if found := differences(shown, came, self._known):
            raise Broken(f"came {came}\n  " + "\n  ".join(found))

    async def _tell(self, step: Step) -> None:
        command: dict[str, Any] = filled(step.what, self._known)
        if command["do"] == "client":
            command = {"url": self._gateway.url, "options": self._options} | command
        await self._adapter.tell(command)

    async def _expect(self, step: Step) -> None:
        shown = addressed(step.what, self._known)
        self._compare(step.what, await self._adapter.take(adapter.lane_of(shown), self._patience(step)))

    async def _await(self, step: Step) -> None:
        shown, patience = addressed(step.what, self._known), self._patience(step)
        async with asyncio.timeout(patience):
            while differences(step.what, await self._adapter.take(adapter.lane_of(shown), patience), self._known):
                pass

    async def _never(self, step: Step) -> None:
        self._forbidden.append(step.what)

    async def _forgive(self, step: Step) -> None:
        self._forgiven.append(step.what)

    async def _accept(self, step: Step) -> None:
        connection = await self._gateway.arrived(step.what, PATIENCE)
        self._judged = max(self._judged, step.what)
        if "note" in step.more:
            self.noted = time.monotonic() - self._mark
        if "over" in step.more:
            self._compare({"over": step.more["over"]}, {"over": connection.kind})
        if "token" in step.more:
            self._compare({"token": step.more["token"]}, {"token": connection.token})
        welcome = step.more.get("welcome", {})
        if welcome is not False:
            payload = {**WELCOME, "connection": f"c{step.what}", **self._scenario.welcome, **welcome}
            connection.greeting = {"type": "welcome", "payload": payload}
        self._gateway.plain, self._gateway.mute = None, False
        connection.verdict.set_result(None)
        async with asyncio.timeout(PATIENCE):
            await connection.opened.wait()
        self._open.append(connection)

    async def _refuse(self, step: Step) -> None:
        connection = await self._gateway.arrived(step.what, PATIENCE)
        self._judged = max(self._judged, step.what)
        if "over" in step.more:
            self._compare({"over": step.more["over"]}, {"over": connection.kind})
        words = {name: step.more[name] for name in ("code", "detail") if name in step.more}
        status = filled(step.more["status"], self._known)
        if "page" in step.more:
            refusal = gateway.blocked(status, step.more["page"])
        else:
            refusal = gateway.refusal(status, step.more.get("headers", {}), **words)
        plain = step.more.get("plain", True)
        self._gateway.plain, self._gateway.mute = None if plain == "accepted" else refusal, not plain
        connection.verdict.set_result(refusal)

    async def _hear(self, step: Step) -> None:
        connection = self._connection(step.more.get("from"))
        lane = gateway.lane_of(addressed(step.what, self._known))
        self._compare(step.what, await connection.heard.take(lane, self._patience(step)))

    async def _unheard(self, step: Step) -> None:
        connection = self._connection(step.more.get("from"))
        lane = gateway.lane_of(addressed(step.what, self._known))
        try:
            came = await connection.heard.take(lane, step.more["ms"] / 1000)
        except TimeoutError:
            return
        raise Broken(f"came {came}")

    async def _hear_binary(self, step: Step) -> None:
        came = await self._connection(step.more.get("from")).heard.take("binary", PATIENCE)
        self._compare({"hex": step.what}, came)

    async def _say(self, step: Step) -> None:
        await self._connection(step.more.get("to")).say(filled(step.what, self._known))

    async def _say_raw(self, step: Step) -> None:
        await self._connection(step.more.get("to")).say(step.what)

    async def _say_binary(self, step: Step) -> None:
        await self._connection(step.more.get("to")).say(bytes.fromhex(step.what))

    async def _close(self, step: Step) -> None:
        code = filled(step.more.get("code", 1001), self._known)
        self._connection(step.what).close(code, step.more.get("reason", "said by the scenario"))
        self._mark = time.monotonic()

    async def _cut(self, step: Step) -> None:
        connection = await self._gateway.arrived(step.what, PATIENCE)
        self._judged = max(self._judged, step.what)
        connection.cut()
        self._mark = time.monotonic()

    async def _stall(self, step: Step) -> None:
        self._connection(step.what).stall()

    async def _closed(self, step: Step) -> None:
        async with asyncio.timeout(self._patience(step)):
            code, _ = await asyncio.shield(self._connection(step.what).closed)
        self._compare({"code": step.more.get("code", 1000)}, {"code": code})

    async def _stays_open(self, step: Step) -> None:
        await asyncio.wait([self._connection(step.what).closed], timeout=step.more["ms"] / 1000)
        if self._connection(step.what).closed.done():
            raise Broken(f"connection {step.what} was closed")

    async def _no_connection_within(self, step: Step) -> None:
        try:
            await self._gateway.arrived(self._judged + 1, step.what / 1000)
        except TimeoutError:
            return
        raise Broken(f"connection {self._judged + 1} came")

    async def _suspend(self, step: Step) -> None:
        self._adapter.suspend()

    async def _wake(self, step: Step) -> None:
        self._adapter.wake()

    async def _pass_ms(self, step: Step) -> None:
        await asyncio.sleep(step.what / 1000)

    _verbs: Final[Mapping[str, Callable[["Player", Step], Awaitable[None]]]] = {
        "tell": _tell,
        "expect": _expect,
        "await": _await,
        "never": _never,
        "forgive": _forgive,
        "accept": _accept,
        "refuse": _refuse,
        "hear": _hear,
        "unheard": _unheard,
        "hear_binary": _hear_binary,
        "say": _say,
        "say_raw": _say_raw,
        "say_binary": _say_binary,
        "close": _close,
        "cut": _cut,
        "stall": _stall,
        "closed": _closed,
        "stays_open": _stays_open,
        "no_connection_within": _no_connection_within,
        "suspend": _suspend,
        "wake": _wake,
        "pass_ms": _pass_ms,
    }
