"""The control channel: questions and orders from pod to pod over the bus.

A question goes to all pods at once, and each answers for itself. Messages of other versions that cannot be read are
ignored. An answer that does not come in time is missing, and the result says so.
"""

from asyncio import Event, Future, timeout, timeout_at
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Final

import msgspec

from forestay.core.cluster.answers import Answers
from forestay.core.cluster.control_messages import (
    Answer,
    Control,
    End,
    Question,
    Revoked,
    decode,
    encode,
)
from forestay.core.cluster.pods import Pods
from forestay.core.cluster.revocations import Revocations
from forestay.core.fanout.hub import Hub
from forestay.core.ports.bus import Bus, BusLost
from forestay.core.ports.registry import Revocation
from forestay.core.ports.runtime import Runtime
from forestay.protocol.codes import CloseCode
from forestay.protocol.depth import MAX_DEPTH, deeper_than
from forestay.protocol.message import Kind, Message
from forestay.protocol.names import RoomName, parse_room, pods_room
from forestay.protocol.timestamps import Stamps

ANSWER_TIMEOUT: Final = 1.0
"""Seconds for which a question waits for the answers of the pods."""


class _Pending:
    """A question that waits for answers."""

    def __init__(self, missing: set[str], done: "Future[None]") -> None:
        self.missing = missing
        """The pods that have not answered."""
        self.answers: list[Answer] = []
        self.done = done


class ControlChannel:
    """The end of the control channel on this pod."""

    def __init__(
        self, runtime: Runtime, bus: Bus, pods: Pods, hub: Hub, answers: Answers, revocations: Revocations
    ) -> None:
        self._runtime = runtime
        self._stamps = Stamps(runtime.clock)
        self._bus = bus
        self._pods = pods
        self._hub = hub
        self._answers = answers
        self._revocations = revocations
        self._pending: dict[int, _Pending] = {}
        self._number = 0
        self._unconfirmed = 2
        self.listening = Event()
        """Set when this pod gets the questions and the orders of the others."""
        self._seers: dict[str, Callable[[Answer], None]] = {}
        """What gets the answers with what is seen of a watch, by the name of the watch."""

    def start(self) -> None:
        """Subscribe to the control messages for all pods, and to those for this one."""
        for room in (pods_room(), pods_room(self._pods.me)):
            self._bus.subscribe(room, self)

    def close(self) -> None:
        """Undo `start`."""
        for room in (pods_room(), pods_room(self._pods.me)):
            self._bus.unsubscribe(room)

    def end(self, connections: Sequence[str], code: CloseCode) -> None:
        """End the connections with these ids, on all pods."""
        self._broadcast(End(connections=connections, code=code))

    def revoke(self, revocation: Revocation) -> None:
        """Tell all pods of `revocation` at once."""
        self._broadcast(Revoked(revocation=revocation))

    def confirmed(self) -> None:
        """One of the two rooms is subscribed."""
        self._unconfirmed -= 1
        if self._unconfirmed == 0:
            self.listening.set()

    def doubted(self) -> None:
        """A lost question is answered in part, and the next heartbeat brings a lost revocation."""

    def received(self, message: Message) -> None:
        """Take a control message from the bus."""
        if deeper_than(message.payload, MAX_DEPTH):
            return
        try:
            control = decode(message.payload)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return  # A newer release sent it, or another program.
        match control:
            case Answer():
                self._take_answer(control)
            case End():
                self._end(control)
            case Revoked():
                self._revocations.learn(control.revocation)
            case _ if control.asker != self._pods.me and parse_room(control.asker):
                self._answers.answer(control, partial(self._publish, pods_room(control.asker)))
            case _:
                pass  # This pod answers its own question without the bus.

    async def ask(
        self, question: Callable[[int, str], Question], only: Collection[str] | None = None
    ) -> tuple[list[Answer], bool]:
        """The answers of all pods, or of `only` these; and whether all of them answered.

        `question`: makes it, from its number and the name of this pod.
        """
        self._number += 1
        number, loop, me = self._number, self._runtime.loop, self._pods.me
        pods, sure = await self._all() if only is None else (set(only), True)
        pending = self._pending[number] = _Pending(set(pods), loop.create_future())
        asked = question(number, me)
        try:
            if me in pods:
                self._answers.answer(asked, self._take_answer)
            for room in self._ways_to(pods - {me}, everyone=only is None, sure=sure):
                self._publish(room, asked)
            if pending.missing:
                async with timeout_at(loop.time() + ANSWER_TIMEOUT):
                    await pending.done
        except TimeoutError:
            pass
        finally:
            del self._pending[number]
        return pending.answers, sure and not pending.missing

    def see(self, watch: str, seer: Callable[[Answer], None]) -> None:
        """Give the answers with what is seen of `watch` to `seer`, from now on."""
        self._seers[watch] = seer

    def unsee(self, watch: str) -> None:
        """Undo `see`."""
        self._seers.pop(watch, None)

    async def _all(self) -> tuple[set[str], bool]:
        """The pods that may have connections, and whether these are all of them.

        Each pod registers before it takes its first connection. So a connection that was there before the question is
        on one of these.
        """
        try:
            async with timeout(ANSWER_TIMEOUT):
                return await self._pods.registered(), True
        except (BusLost, TimeoutError):
            return self._pods.known(), False

    def _ways_to(self, others: Collection[str], *, everyone: bool, sure: bool) -> list[RoomName]:
        """The rooms over which `others` hear a question, and with `everyone` those also that are not known for sure."""
        if everyone:
            return [pods_room()] if others or not sure else []
        return [pods_room(pod) for pod in others]

    def _take_answer(self, answer: Answer) -> None:
        if answer.seen is not None and answer.seen.watch in self._seers:
            self._seers[answer.seen.watch](answer)
        pending = self._pending.get(answer.number)
        if pending is not None and answer.asker in pending.missing:
            pending.missing.discard(answer.asker)
            pending.answers.append(answer)
            if not pending.missing and not pending.done.done():
                pending.done.set_result(None)

    def _end(self, control: End) -> None:
        for id in control.connections:
            self._hub.end(id, control.code)

    def _broadcast(self, control: Control) -> None:
        self._publish(pods_room(), control)

    def _publish(self, room: RoomName, control: Control) -> None:
        self._bus.publish(Message(room, encode(control), self._stamps.now(), kind=Kind.PODS))
