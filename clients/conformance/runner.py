"""Runs a scenario against an SDK, as often as it says, and what came of it."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import jwt

from clients.conformance import adapter, gateway
from clients.conformance.lanes import Ended
from clients.conformance.matching import Known
from clients.conformance.player import Broken, Player
from clients.conformance.scenario import WEBSOCKET, Scenario
from clients.conformance.timeline import Timeline

_TOKENS = ("t1", "t2", "t3")
_HOUR = 3600.0
# Nobody checks them: a client only reads when they end.
_SECRET = "a secret that nobody keeps, of more than 32 bytes"
# Seconds. A machine that is busy may be so late, and a client that waits for the whole spread is not late.
_SLACK = 2.0


class Verdict(Enum):
    """What came of a scenario."""

    HOLDS = "holds"
    FAILS = "FAILS"
    UNSUPPORTED = "has no such feature"
    NOT_MEANT = "is not meant for this SDK"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The verdict, and what there is to say about it."""

    verdict: Verdict
    words: str = ""


async def run(scenario: Scenario, command: Sequence[str], over: str = WEBSOCKET) -> Outcome:
    """Play a scenario to the adapter that `command` starts, over WebSockets or streams."""
    plays = [_Play(scenario, command, over) for _ in range(scenario.runs)]
    outcomes = await asyncio.gather(*(play.run() for play in plays))
    worst = next((one for one in outcomes if one.verdict is not Verdict.HOLDS), outcomes[0])
    if worst.verdict is Verdict.HOLDS and scenario.spread_ms:
        return _spread([play.noted for play in plays if play.noted is not None], scenario.spread_ms / 1000)
    return worst


def _spread(noted: Sequence[float], over: float) -> Outcome:
    """Whether waits are spread over so many seconds: none beyond, and not all within two fifths of it.

    Twelve that are random over the whole are that close together once in three thousand times.
    """
    shown = ", ".join(f"{wait * 1000:.0f}" for wait in sorted(noted))
    if max(noted) > over + _SLACK or max(noted) - min(noted) < over * 2 / 5:
        return Outcome(Verdict.FAILS, f"not spread over {over * 1000:.0f} ms: {shown}")
    return Outcome(Verdict.HOLDS, shown)


class _Play:
    """One run."""

    def __init__(self, scenario: Scenario, command: Sequence[str], over: str) -> None:
        self._over = over
        self._scenario = scenario
        self._command = command
        self.noted: float | None = None

    async def run(self) -> Outcome:
        timeline = Timeline()
        try:
            async with gateway.listening(timeline) as there, adapter.started(self._command, timeline) as sdk:
                if not _meant(self._scenario, sdk.hello, self._over):
                    return Outcome(Verdict.NOT_MEANT)
                player = Player(
                    self._scenario, sdk, there, _tokens(self._scenario) | dict(self._scenario.case), self._over
                )
                try:
                    await player.play()
                except (Broken, Ended):
                    if not sdk.unsupported:
                        raise
                    return Outcome(Verdict.UNSUPPORTED, ", ".join(sdk.unsupported))
                self.noted = player.noted
        except (Broken, Ended) as failed:
            return Outcome(Verdict.FAILS, f"{failed}\n{timeline.told()}")
        return Outcome(Verdict.HOLDS)


def _meant(scenario: Scenario, hello: Known, over: str) -> bool:
    """Whether the SDK learns the status of a refused handshake as the scenario needs it. That of a request is seen."""
    status = hello.get("status") if over == WEBSOCKET else True
    needs = {"status": status is True, "answer": bool(status), "no-status": status is not True}
    return needs.get(scenario.needs, True)


def _tokens(scenario: Scenario) -> Known:
    """The tokens of a scenario: of one user, and none like another."""
    lasting = dict.fromkeys(_TOKENS, _HOUR) | dict(scenario.tokens)
    now = time.time()
    return {
        name: jwt.encode({"sub": "alice", "exp": round(now + seconds, 3), "jti": name}, _SECRET)
        for name, seconds in lasting.items()
    }
