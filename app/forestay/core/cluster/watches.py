"""Carries out the watches of operators on this pod: sends frames on, a few times a second, while somebody reads them.

The pod that asks renews a watch again and again. So a watch ends also where that pod has died.
"""

from asyncio import TimerHandle
from collections.abc import Callable
from typing import Final

from forestay.core.cluster.control_messages import Answer, Seen, WatchQuestion
from forestay.core.facts.watch import Watch
from forestay.core.fanout.connection import Connection
from forestay.core.fanout.hub import Hub
from forestay.core.ports.operating import Operating
from forestay.core.ports.runtime import Runtime
from forestay.core.rules.shown import Shown
from forestay.protocol.names import parse_room

INTERVAL: Final = 0.25
"""Seconds between two answers with frames."""
LEASE: Final = 15.0
"""Seconds for which a watch goes on without being renewed."""
MOST_WATCHES: Final = 30
"""Watches on one pod, on behalf of all pods."""


class _Running:
    """A watch that runs, and where its frames go."""

    def __init__(self, watch: Watch, reply: Callable[[Answer], None], until: float) -> None:
        self.watch = watch
        self.reply = reply
        self.until = until


class Watches:
    """The watches on this pod."""

    def __init__(self, runtime: Runtime, pod: str, hub: Hub, operating: Operating) -> None:
        """`pod`: the name of this pod."""
        self._loop = runtime.loop
        self._clock = runtime.clock
        self._watching = runtime.watching
        self._pod = pod
        self._hub = hub
        self._payloads = Shown.PAYLOADS in operating.shown
        self._running: dict[str, _Running] = {}
        self._timer: TimerHandle | None = None

    def watch(self, question: WatchQuestion, reply: Callable[[Answer], None]) -> None:
        """Begin a watch, renew it or end it. `reply` is called at once, and then again for frames."""
        running, full = self._running.get(question.watch), False
        if question.end:
            if running is not None:
                self._end(question.watch, running)
        elif running is not None:
            running.until = self._loop.time() + LEASE
        elif (watch := self._new(question)) is not None:
            full = len(self._running) >= MOST_WATCHES
            if not full:
                running = self._begin(question.watch, watch, reply)
        here = running is not None
        reply(Answer(question.number, self._pod, changed=int(here), seen=Seen(payloads=self._payloads, full=full)))

    def _new(self, question: WatchQuestion) -> Watch | None:
        """A watch of what is asked for; None where this pod does not have it."""
        subject: Connection | None = None
        room = None if question.room is None else parse_room(question.room)
        if question.connection is not None:
            subject = self._hub.by_id(question.connection)
        if room is None and subject is None:
            return None
        return Watch(self._clock, payloads=self._payloads, subject=subject, room=room)

    def _begin(self, name: str, watch: Watch, reply: Callable[[Answer], None]) -> _Running:
        running = self._running[name] = _Running(watch, reply, self._loop.time() + LEASE)
        self._watching.add(watch)
        if self._timer is None:
            self._timer = self._loop.call_later(INTERVAL, self._flush)
        return running

    def _end(self, name: str, running: _Running) -> None:
        del self._running[name]
        self._watching.remove(running.watch)

    def _flush(self) -> None:
        now = self._loop.time()
        for name, running in list(self._running.items()):
            subject = running.watch.subject
            over = subject is not None and self._hub.by_id(subject.id) is not subject
            frames, dropped = running.watch.take()
            if frames or dropped or over:
                seen = Seen(watch=name, frames=frames, dropped=dropped, ended=over, payloads=self._payloads)
                running.reply(Answer(0, self._pod, seen=seen))
            if over or now >= running.until:
                self._end(name, running)
        self._timer = self._loop.call_later(INTERVAL, self._flush) if self._running else None
