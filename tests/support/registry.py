"""A registry for tests: the memory registry, which can refuse calls, hold its answers, or be lost."""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Final, TypeVar

from forestay.bus.memory.bus import MemoryBus
from forestay.bus.memory.registry import MemoryRegistry, RegistryState
from forestay.core.ports.bus import PAGE_BYTES, AnswerLost, BusLost, Outcome
from forestay.core.ports.registry import Claim, HeartbeatReply, Holdings, Revocation, nothing
from forestay.protocol.message import Message
from forestay.protocol.names import RoomName
from forestay.protocol.presence import Member, PresencePage

Answer = TypeVar("Answer")

EVERYTHING: Final = ("presence_page", "claim", "revoke", "heartbeat", "pods", "recall", "reap", "retire")
"""The methods that can raise BusLost."""


class ReluctantRegistry(MemoryRegistry):
    """Records each call. What it does depends on the fields that a test sets."""

    def __init__(self, pod: str = "p1", bus: MemoryBus | None = None, state: RegistryState | None = None) -> None:
        super().__init__(pod, bus or MemoryBus(), state)
        self.asked: list[tuple[str, ...]] = []
        """Each call: the method's name and the arguments that matter, as text."""
        self.outcome = Outcome.ACCEPTED
        """The answer to each `put` and `release`. Only accepted ones take effect."""
        self.lost: Collection[str] = ()
        """The methods that raise BusLost; also those whose answer is held already."""
        self.lost_memory = False
        """What heartbeats say about the memory of the registry."""
        self.holding = False
        """Whether answers wait for `answer`. The call itself takes effect at once."""
        self._held: deque[Callable[[], None]] = deque()

    def answer(self, count: int | None = None) -> None:
        """Give the oldest `count` answers that are held; all of them without `count`."""
        for _ in range(len(self._held) if count is None else count):
            self._held.popleft()()

    def calls(self, *names: str) -> list[tuple[str, ...]]:
        """The calls of these methods, and forget all calls."""
        found = [call for call in self.asked if call[0] in names]
        self.asked.clear()
        return found

    def put(
        self,
        member: Member,
        room: RoomName,
        news: Message | None,
        settled: Callable[[Outcome], None],
        told: bytes | None = None,
    ) -> None:
        self.asked.append(("put", room, member.user, str(member.connections)))
        if self.outcome is Outcome.ACCEPTED:
            super().put(member, room, news, lambda _: None, told)
        self._settle(settled)

    def release(self, user: str, connection: str, settled: Callable[[Outcome], None]) -> None:
        self.asked.append(("release", connection))
        if self.outcome is Outcome.ACCEPTED:
            super().release(user, connection, lambda _: None)
        self._settle(settled)

    async def presence_page(
        self, room: RoomName, after: str | None, limit: int, max_bytes: int = PAGE_BYTES
    ) -> PresencePage:
        self._reach("presence_page", room)
        return await self._answered("presence_page", await super().presence_page(room, after, limit, max_bytes))

    async def claim(self, user: str, connection: str, limit: int, *, replace: bool) -> Claim:
        self._reach("claim", connection, str(limit))
        return await self._answered("claim", await super().claim(user, connection, limit, replace=replace))

    async def revoke(self, revocation: Revocation) -> None:
        self._reach("revoke", revocation.jti or revocation.user or "")
        await super().revoke(revocation)
        await self._answered("revoke", None)

    async def heartbeat(self, lease: float, connections: int = 0) -> HeartbeatReply:
        self._reach("heartbeat", str(lease), str(connections))
        reply = replace(await super().heartbeat(lease, connections), lost_memory=self.lost_memory)
        return await self._answered("heartbeat", reply)

    async def pods(self) -> Sequence[str]:
        self._reach("pods")
        return await self._answered("pods", await super().pods())

    async def recall(self) -> Holdings:
        self._reach("recall")
        return await self._answered("recall", await super().recall())

    async def reap(
        self, pod: str, told: Callable[[RoomName], bytes | None] = nothing
    ) -> Sequence[tuple[RoomName, str]]:
        self._reach("reap", pod)
        return await self._answered("reap", await super().reap(pod, told))

    async def retire(self, grace: float) -> None:
        self._reach("retire", str(grace))
        await super().retire(grace)
        await self._answered("retire", None)

    def _settle(self, settled: Callable[[Outcome], None]) -> None:
        outcome = self.outcome
        if self.holding:
            self._held.append(lambda: settled(outcome))
        else:
            settled(outcome)

    def _reach(self, *call: str) -> None:
        self.asked.append(call)
        if call[0] in self.lost:
            raise BusLost

    async def _answered(self, name: str, answer: Answer) -> Answer:
        if self.holding:
            given = asyncio.Event()
            self._held.append(given.set)
            await given.wait()
            if name in self.lost:
                raise AnswerLost
        return answer
