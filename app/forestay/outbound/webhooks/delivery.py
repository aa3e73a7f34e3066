"""Delivers events to the receiver of webhooks, at least once: takes them, sends them in batches, and tries again.

While the receiver fails, a pod sends it one request at a time, after a rest, and takes few new events. A batch that was
tried as often as it may becomes dead letters. Where the receiver does not take one of the events, as its status says,
the batch is cut in halves, until that event is alone.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from forestay.core.ports.bus import BusLost
from forestay.core.ports.observer import Observer
from forestay.core.ports.tasks import Tasks
from forestay.core.ports.webhooks import NOTHING_WAITS, WebhookQueue
from forestay.outbound.webhooks.batch import Batch, batches
from forestay.outbound.webhooks.hand import Hand
from forestay.outbound.webhooks.pace import Pace, wait
from forestay.outbound.webhooks.sender import CONNECTIONS, Answer, RequestResult, Sender
from forestay.protocol.timestamps import timestamp

log = structlog.get_logger(__name__)

INTERVAL: Final = 1.0
"""Seconds between two looks at the queue. It is a fifth of the lease where that is shorter."""

# Batches of the largest size that a pod has in hand: those that are sent, and those that wait to be sent again.
_MOST_BATCHES: Final = 20

# Failures after which a batch is cut, where the receiver may fail because of one of its events.
_CUT_AFTER: Final = 2

# Seconds between two log lines about dropped events or dead letters.
_LOG_INTERVAL: Final = 10.0

# Seconds between two takes. The first event goes at once, and those that come meanwhile go together.
_GATHER: Final = 0.01

# Seconds between two tries while the bus is lost.
_BUS_REST: Final = 1.0


@dataclass(frozen=True, slots=True)
class DeliveryRules:
    """How events are delivered."""

    batch: int
    """Events of one request."""
    take: int
    """Events that are taken from the queue at once."""
    attempts: int
    """How often a batch is sent before its events become dead letters."""
    lease: float
    """Seconds after which other pods deliver what this pod has taken and is silent about."""


@dataclass(frozen=True, slots=True)
class DeliveryRuntime:
    """What the delivery gets from the process."""

    tasks: Tasks
    observer: Observer
    uniform: Callable[[float, float], float]
    clock: Callable[[], float]
    """Unix seconds."""


class Delivery:
    """What one pod delivers."""

    def __init__(self, queue: WebhookQueue, sender: Sender, rules: DeliveryRules, around: DeliveryRuntime) -> None:
        self._queue = queue
        self._sender = sender
        self._rules = rules
        self._around = around
        self._loop = asyncio.get_running_loop()
        self._pace = Pace(around.uniform)
        self._hand = Hand()
        self._requests: set[asyncio.Task[None]] = set()
        self._settled: list[str] = []
        """Delivered, and still in the queue, because the bus was lost."""
        self._may_send = asyncio.Event()
        """Set where there may be something to send."""
        self._may_take = asyncio.Event()
        """Set where there may be room for more events."""
        self._taking = True
        self._stopped = False
        self._dead = self._dropped = 0
        self._logged_at = 0.0
        self._tasks: list[asyncio.Task[None]] = []
        self.backlog = NOTHING_WAITS
        """What waited when the queue was looked at last."""

    def start(self) -> None:
        """Begin to deliver."""
        tasks = self._around.tasks
        self._tasks = [
            tasks.keep("webhooks_look", self._look_forever),
            tasks.keep("webhooks_take", self._take_forever),
            tasks.keep("webhooks_send", self._send_forever),
        ]

    async def close(self, seconds: float, *, last_pod: bool) -> None:
        """Finish what is in hand, within `seconds`, and give the rest back. `last_pod`: nobody else delivers it."""
        self._taking = last_pod
        try:
            async with asyncio.timeout(seconds):
                while self._hand.sending or self._hand.fresh or (last_pod and (await self._queue.backlog()).waiting):
                    if self._pace.failing or self._stopped:
                        break
                    await asyncio.sleep(0.02)
        except (TimeoutError, BusLost):
            pass
        rest = self._hand.handles
        running = [*self._tasks, *self._requests]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        try:
            await self._queue.done(self._settled)
            await self._queue.give_back(rest)
        except BusLost:
            # Other pods take it when the lease ends.
            pass
        await self._sender.close()

    async def _look_forever(self) -> None:
        interval = min(INTERVAL, self._rules.lease / 5)
        while True:
            try:
                await self._look()
            except BusLost:
                pass
            await asyncio.sleep(interval)

    async def _look(self) -> None:
        """Keep what is in hand, and see what waits. Raises BusLost."""
        await self._queue.hold(self._hand.handles)
        settled = list(self._settled)
        await self._queue.done(settled)
        del self._settled[: len(settled)]
        self.backlog = backlog = await self._queue.backlog()
        if backlog.dropped:
            self._around.observer.webhook_events("dropped", backlog.dropped)
            self._dropped += backlog.dropped
        if backlog.stopped != self._stopped:
            await self._turn(stopped=backlog.stopped)
        now = self._loop.time()
        if (self._dead or self._dropped) and now >= self._logged_at + _LOG_INTERVAL:
            log.warning("webhook events not delivered", dead_letters=self._dead, dropped=self._dropped)
            self._dead, self._dropped, self._logged_at = 0, 0, now

    async def _turn(self, *, stopped: bool) -> None:
        """Stop, or go on. What waits to be sent is given back. Raises BusLost."""
        self._stopped = stopped
        self._may_send.set()
        self._may_take.set()
        if stopped:
            log.error(
                "webhooks are stopped, because the receiver answered 410",
                remedy="repair it, and POST /v1/webhooks/resume; or set another FORESTAY_WEBHOOKS_URL",
            )
            await self._queue.give_back(self._hand.drop_waiting())
        else:
            self._pace.worked()
            log.info("webhooks go on")

    async def _take_forever(self) -> None:
        while True:
            while self._stopped or not self._taking or self._hand.fresh or self._full():
                self._may_take.clear()
                await self._may_take.wait()
            try:
                found = await self._queue.take(self._rules.take)
            except BusLost:
                await asyncio.sleep(_BUS_REST)
                continue
            self._hand.fresh.extend(batches(found, self._rules.batch))
            self._may_send.set()
            await asyncio.sleep(_GATHER)

    def _full(self) -> bool:
        return len(self._hand.handles) >= _MOST_BATCHES * self._rules.batch

    async def _send_forever(self) -> None:
        while True:
            now = self._loop.time()
            free = len(self._hand.sending) < (1 if self._pace.failing else CONNECTIONS) and not self._stopped
            batch = self._hand.next(now) if free and now >= self._pace.rest_until else None
            if batch is not None:
                self._hand.sending[id(batch)] = batch
                self._may_take.set()
                request = self._around.tasks.once("webhooks_request", self._send(batch))
                self._requests.add(request)
                request.add_done_callback(self._requests.discard)
                continue
            due = self._hand.next_due(self._pace.rest_until) if free else None
            self._may_send.clear()
            try:
                async with asyncio.timeout_at(due):
                    await self._may_send.wait()
            except TimeoutError:
                pass

    async def _send(self, batch: Batch) -> None:
        try:
            body = batch.body(timestamp(int(self._around.clock() * 1000)), alone=self._rules.batch == 1)
            answer = await self._sender.send(batch.id, body)
            batch.attempts += 1
            self._around.observer.webhook_request(answer.result)
            self._pace_after(answer)
            await self._settle(batch, answer)
        except BusLost:
            # The batch is not forgotten: it is sent again, or settled later.
            self._delay(batch, batch.attempts)
        finally:
            self._hand.sending.pop(id(batch), None)
            self._may_send.set()
            self._may_take.set()

    def _pace_after(self, answer: Answer) -> None:
        if not answer.receiver_fails:
            if self._pace.failing:
                log.info("the receiver of webhooks answers again")
            self._pace.worked()
            return
        if not self._pace.failing:
            log.warning("the receiver of webhooks fails", reason=answer.reason)
        self._pace.failed(self._loop.time(), answer.retry_after)

    async def _settle(self, batch: Batch, answer: Answer) -> None:
        """Do what the answer asks for. Raises BusLost."""
        if answer.result is RequestResult.DELIVERED:
            self._around.observer.webhook_events("delivered", len(batch.events))
            await self._done(batch.handles)
        elif answer.result is RequestResult.GONE:
            if not self._stopped:
                await self._queue.stop()
                await self._turn(stopped=True)
            await self._set_aside(batch, answer)
        elif answer.about_events and len(batch.events) > 1 and (answer.status < 500 or batch.attempts >= _CUT_AFTER):
            # One bad event must not keep the others for minutes, and the receiver is spared by the pace.
            for half in batch.halves():
                self._delay(half, 1)
        elif batch.attempts >= self._rules.attempts:
            await self._set_aside(batch, answer)
        else:
            self._delay(batch, batch.attempts)

    async def _done(self, handles: list[str]) -> None:
        try:
            await self._queue.done(handles)
        except BusLost:
            self._settled += handles

    async def _set_aside(self, batch: Batch, answer: Answer) -> None:
        """Make the events dead letters. Raises BusLost."""
        await self._queue.set_aside(batch.handles, answer.reason, batch.attempts)
        self._dead += len(batch.events)
        self._around.observer.webhook_events("dead", len(batch.events))

    def _delay(self, batch: Batch, failures: int) -> None:
        self._hand.delay(batch, self._loop.time() + wait(max(1, failures), self._around.uniform))
