"""The HTTP form of hooks: one signed request for each question, with a circuit breaker for each kind of question."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import structlog

from forestay.core.ports.hook_events import HookEvent
from forestay.core.ports.hooks import HookAnswer, HookFailed
from forestay.core.rules.hooks import TOLD, Hook
from forestay.outbound.hooks.answers import allowed, read_answer
from forestay.outbound.hooks.asker import Asker, NotAnswered
from forestay.outbound.hooks.breaker import Breaker, State
from forestay.outbound.hooks.questions import encode_question
from forestay.outbound.receiver import Receiver
from forestay.outbound.signature import signed_headers
from forestay.protocol.timestamps import timestamp

log = structlog.get_logger(__name__)

# Bytes of an answer beside a payload of the largest size: names of fields, and blanks.
_BESIDE: Final = 65536

# The part of the time for an answer after which one that is given up counts as a failure: the guard, which began a
# little earlier, gives it up for its time.
_PATIENCE: Final = 0.9


@dataclass(frozen=True, slots=True)
class Bounds:
    """What questions and answers may use."""

    concurrency: int
    """Questions at the same time."""
    payload: int
    """Bytes of a payload."""
    depth: int
    """Nested arrays and objects of a payload."""


@dataclass(frozen=True, slots=True)
class HookRuntime:
    """What this form gets from the process."""

    clock: Callable[[], float]
    """Unix seconds."""
    monotonic: Callable[[], float]
    """Monotonic seconds."""
    new_id: Callable[[], str]
    """Makes an id that is unique among all pods."""
    uniform: Callable[[float, float], float]
    """Draws a random number between two bounds."""


class HttpHooks:
    """Asks the receiver. Needs a running loop. Raises ValueError where its authority cannot be read."""

    def __init__(self, receiver: Receiver, bounds: Bounds, around: HookRuntime) -> None:
        self._receiver = receiver
        self._depth = bounds.depth
        self._around = around
        self._asker = Asker(receiver, bounds.concurrency, 2 * bounds.payload + _BESIDE)
        self._breakers: Mapping[Hook, Breaker] = {hook: Breaker(around.monotonic, around.uniform) for hook in Hook}

    def broken(self) -> Mapping[str, bool]:
        """Whether each hook is not asked now, because the last questions failed."""
        return {hook.value: breaker.state is not State.CLOSED for hook, breaker in self._breakers.items()}

    async def ask(self, event: HookEvent, /) -> HookAnswer | None:
        """As the port says. Returns None for what is told."""
        breaker = self._breakers[event.hook]
        attempt = breaker.begin()
        if attempt is None:
            raise HookFailed("circuit_open", "not asked, because the last questions failed")
        try:
            answer = await self._asked(event)
        except HookFailed as failed:
            about_receiver = isinstance(failed, NotAnswered) and failed.receiver_fails
            if breaker.failed(attempt, None if about_receiver else event.user):
                self._log_opened(event.hook, str(failed))
            raise
        except BaseException:
            if breaker.given_up(attempt, self._receiver.timeout * _PATIENCE):
                self._log_opened(event.hook, f"no answer within {self._receiver.timeout:g} s")
            raise
        breaker.answered(attempt)
        if attempt.trial:
            log.info("the application answers hooks again", hook=event.hook.value)
        return answer

    async def close(self) -> None:
        """Close the connections."""
        await self._asker.close()

    async def _asked(self, event: HookEvent) -> HookAnswer | None:
        now, id = self._around.clock(), f"ask_{self._around.new_id()}"
        body = encode_question(id, timestamp(int(now * 1000)), event)
        headers = dict(signed_headers(self._receiver.keys, id, int(now), body))
        if event.trace is not None:
            headers["traceparent"] = event.trace.traceparent
            if event.trace.tracestate is not None:
                headers["tracestate"] = event.trace.tracestate
        told = event.hook in TOLD
        # A call may change something, and a receiver need not know an id that it has seen. All else only asks or tells.
        answer = await self._asker.ask(body, headers, again=event.hook is not Hook.CALL, told=told)
        if told:
            return None
        return allowed(event.hook) if answer is None else read_answer(event.hook, answer, self._depth)

    def _log_opened(self, hook: Hook, reason: str) -> None:
        log.warning("hook not asked for a while, because it failed again and again", hook=hook.value, reason=reason)
