"""Asks the application about an event: at most for a time, and at most so many at once. A rule decides what fails.

A hook that never waits needs no task. Another one that answers without waiting costs no turn of the loop, where Python
can start a task at once (from 3.12).
Nothing waits for a place: what finds none is refused. Only events that are told wait, up to a number.
"""

import asyncio
from asyncio import Future, Task
from collections import deque
from dataclasses import dataclass
from typing import Final

from forestay.core.hooks.decisions import ALLOWED, AnswerBounds, Decision, decide
from forestay.core.hooks.running import Start, outcome, run_at_once, start_later
from forestay.core.ports.hook_events import HookEvent
from forestay.core.ports.hooks import HookFailed, HookFailure, HookForm, explained
from forestay.core.ports.runtime import Runtime
from forestay.core.rules.hooks import TOLD, Hook
from forestay.protocol.codes import ErrorCode, Refusal

MOST_TOLD: Final = 10_000
"""Events that wait to be told. What comes then is dropped, and counted."""

RETRY_AFTER: Final = 1.0
"""Seconds after which a client that was refused for a failed hook should ask again."""

# Of the places, one in so many is for events that are told, and one in so many for calls: where calls are slow, others
# can connect and speak.
_TOLD_SHARE: Final = 4
_CALL_SHARE: Final = 2

_UNANSWERED: Final = "the application did not answer this call, and may have begun it; find out before you call again"


@dataclass(frozen=True, slots=True)
class HookRules:
    """What holds for every hook."""

    asked: frozenset[Hook]
    """Those of Hook.CONNECT, Hook.CALL and Hook.DISCONNECT that are asked or told."""
    timeout: float
    """Seconds that a hook may take."""
    concurrency: int
    """Hooks under way at the same time."""
    allow_on_failure: bool
    """Whether what a hook should have decided happens where the hook fails. A call is never answered then."""
    bounds: AnswerBounds
    immediate: frozenset[Hook] = frozenset()
    """Those that never wait for anything. They need no task, which costs more than all the rest of a question."""


class Hooks:
    """Asks the application, and tells it."""

    def __init__(self, runtime: Runtime, form: HookForm, rules: HookRules) -> None:
        self._loop = runtime.loop
        self._perf = runtime.perf
        self._observer = runtime.observer
        self._form = form
        self._rules = rules
        self._start: Start = getattr(asyncio, "eager_task_factory", start_later)
        self.under_way = 0
        """Hooks that are running, those included that are given up and have not ended yet."""
        self._asking: set[_Asking] = set()
        self._waiting: deque[HookEvent] = deque()
        self._telling = 0
        self._most_telling = max(1, rules.concurrency // _TOLD_SHARE)
        self._calling = 0
        self._most_calling = max(1, rules.concurrency // _CALL_SHARE)
        self._planned = False
        self._idle: Future[None] | None = None

    @property
    def waiting(self) -> int:
        """Events that wait to be told."""
        return len(self._waiting)

    def asks(self, hook: Hook) -> bool:
        """Whether the application is asked about `hook`, or told of it, for each connection."""
        return hook in self._rules.asked

    def ask(self, event: HookEvent) -> "Decision | Future[Decision]":
        """Ask about `event`. Returns the decision, or where the hook has to wait, a future for it. It never fails.

        Where the future is cancelled, the hook is cancelled.
        """
        if self.under_way >= self._rules.concurrency:
            return self._busy(event)
        began = self._perf()
        if event.hook in self._rules.immediate:
            answer, error = run_at_once(self._form.ask(event))
            return self._decided(event, answer, error, began)
        call = event.hook is Hook.CALL
        if call and self._calling >= self._most_calling:
            return self._busy(event)
        task = self._start(self._loop, self._form.ask(event))
        if task.done():
            answer, error = outcome(task)
            return self._decided(event, answer, error, began)
        self.under_way += 1
        self._calling += call
        asking = _Asking(self, event, task, began, self._loop.create_future())
        self._asking.add(asking)
        asking.timer = self._loop.call_later(self._rules.timeout, asking.expire)
        task.add_done_callback(asking.ended)
        return asking.decision

    async def decision(self, event: HookEvent) -> Decision:
        """Ask about `event` and wait for the decision."""
        decision = self.ask(event)
        return decision if isinstance(decision, Decision) else await decision

    def tell(self, event: HookEvent) -> None:
        """Tell `event` later. The caller does not wait, and does not learn what comes of it."""
        if len(self._waiting) >= MOST_TOLD:
            self._report_failure(event, "dropped", f"{MOST_TOLD} events wait to be told", 0.0)
            return
        self._waiting.append(event)
        self._tell_soon()

    def failed(self, event: HookEvent, failure: HookFailure, cause: str, seconds: float = 0.0) -> Decision:
        """The decision about `event` where the hook gave none that can be used, and a report of why."""
        self._report_failure(event, failure, cause, seconds)
        if self._rules.allow_on_failure and event.hook is not Hook.CALL:
            return ALLOWED
        if event.hook is Hook.CALL and failure != "circuit_open":
            # To try again may do it twice, so no time is named for that.
            return Decision(Refusal(ErrorCode.UNAVAILABLE, _UNANSWERED))
        message = f"the application cannot decide about this {event.hook} now; try again later"
        return Decision(Refusal(ErrorCode.UNAVAILABLE, message, retry_after=RETRY_AFTER))

    async def close(self, seconds: float) -> None:
        """Tell what is left, for at most `seconds`. Then give up what is under way, and close the form."""
        self._idle = self._loop.create_future()
        self._check_idle()
        try:
            async with asyncio.timeout(seconds):
                await self._idle
        except TimeoutError:
            pass
        self._waiting.clear()
        for asking in list(self._asking):
            asking.task.cancel()
        await self._form.close()

    def settle(self, asking: "_Asking") -> None:
        """Take the end of a hook that had to wait. For use by _Asking."""
        self._asking.discard(asking)
        self.under_way -= 1
        if asking.event.hook in TOLD:
            self._telling -= 1
        elif asking.event.hook is Hook.CALL:
            self._calling -= 1
        if asking.given_up:
            if not asking.task.cancelled():
                asking.task.exception()
        elif not asking.decision.done():
            answer, error = outcome(asking.task)
            asking.decision.set_result(self._decided(asking.event, answer, error, asking.began))
        if self._waiting:
            self._tell_soon()
        self._check_idle()

    def expire(self, asking: "_Asking") -> None:
        """Give up a hook that takes too long. For use by _Asking."""
        if asking.decision.done():
            return
        cause = f"no answer within {self._rules.timeout:g} s"
        asking.decision.set_result(self.failed(asking.event, "timeout", cause, self._perf() - asking.began))

    def _busy(self, event: HookEvent) -> Decision:
        """No place is left. It is refused also where failures allow: else a flood would switch all rules off."""
        cause = f"{self.under_way} hooks are under way, {self._calling} of them calls"
        self._report_failure(event, "busy", cause, 0.0)
        message = "the application is asked about too much at once; try again later"
        return Decision(Refusal(ErrorCode.UNAVAILABLE, message, retry_after=RETRY_AFTER))

    def _decided(self, event: HookEvent, answer: object, error: BaseException | None, began: float) -> Decision:
        """The decision about `event`, of which the hook has returned `answer` or raised `error`."""
        seconds = self._perf() - began
        if error is None:
            if event.hook in TOLD:
                self._report(event, "told", seconds)
                return ALLOWED
            try:
                decision = decide(event, answer, self._rules.bounds)
            except HookFailed as failed:
                return self.failed(event, failed.failure, str(failed), seconds)
            self._report(event, "allowed" if decision.refusal is None else "refused", seconds)
            return decision
        if isinstance(error, HookFailed):
            return self.failed(event, error.failure, str(error), seconds)
        return self.failed(event, "raised", explained(error), seconds)

    def _report(self, event: HookEvent, outcome: str, seconds: float) -> None:
        if self._observer is not None:
            self._observer.hook(event.hook, outcome, seconds)

    def _report_failure(self, event: HookEvent, failure: HookFailure, cause: str, seconds: float) -> None:
        self._report(event, failure, seconds)
        if self._observer is not None:
            self._observer.hook_failed(event.hook, failure, cause)

    def _tell_soon(self) -> None:
        if not self._planned:
            self._planned = True
            self._loop.call_soon(self._tell)

    def _tell(self) -> None:
        self._planned = False
        while self._waiting and self._telling < self._most_telling and self.under_way < self._rules.concurrency:
            if isinstance(self.ask(self._waiting.popleft()), Future):
                self._telling += 1
        self._check_idle()

    def _check_idle(self) -> None:
        if self._idle is not None and not self._idle.done() and not self._waiting and not self._telling:
            self._idle.set_result(None)


class _Asking:
    """One hook that did not answer at once."""

    __slots__ = ("_hooks", "began", "decision", "event", "given_up", "task", "timer")

    def __init__(
        self, hooks: Hooks, event: HookEvent, task: Task[object], began: float, decision: "Future[Decision]"
    ) -> None:
        self._hooks = hooks
        self.event = event
        self.task = task
        self.began = began
        self.timer: asyncio.TimerHandle | None = None
        self.given_up = False
        """Whether nobody waits for the answer any more."""
        self.decision = decision
        decision.add_done_callback(self.left)

    def ended(self, task: Task[object]) -> None:
        """The hook has ended."""
        if self.timer is not None:
            self.timer.cancel()
        self._hooks.settle(self)

    def expire(self) -> None:
        """The time is over."""
        self._hooks.expire(self)

    def left(self, decision: "Future[Decision]") -> None:
        """The decision is there, or nobody wants it any more. A hook that has not ended is cancelled."""
        if not self.task.done():
            self.given_up = True
            self.task.cancel()
