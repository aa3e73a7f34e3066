"""One Redis that takes writes: a lane for publishing, one for reading, an ear, and a canary that tells if they work.

It is up while the words that it sends to itself come back and it can be read. What rooms say does not pass here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from forestay.bus.redis.client.address import Place
from forestay.bus.redis.client.command import Command
from forestay.bus.redis.client.connection import Away, Complaint, Misconfigured, Wire, pack
from forestay.bus.redis.client.link import Dial, Link
from forestay.bus.redis.client.listener import Listener
from forestay.bus.redis.client.pipeline import Lane
from forestay.bus.redis.client.probe import Canary
from forestay.bus.redis.client.subscription import Ear

# Reads that go out together. An answer may be a megabyte, and the next ones wait behind it.
_READS: Final = 32


class Owner(Protocol):
    """Who is told how a node fares."""

    def node_up(self, node: "Node") -> None: ...

    def node_down(self, node: "Node", why: str) -> None: ...

    def failed(self, error: Away | Misconfigured) -> None:
        """A connection could not be made, or not be used."""

    def deaf(self) -> None: ...

    def complained(self, complaint: Complaint) -> None: ...

    def elsewhere(self, node: "Node", lane: Lane, commands: Sequence[tuple[Command, Complaint]]) -> None:
        """Another node has what these commands are about; they were not executed."""

    def displaced(self) -> None:
        """A channel is not, or no longer, this node's."""


@dataclass(frozen=True, slots=True)
class Habits:
    """What is the same for every node."""

    patience: float
    """Seconds for an answer."""
    interval: float
    """Seconds between two words of the canary."""
    sharded: bool
    """Whether it is a Cluster's node."""


class Node:
    def __init__(
        self, home: Place, dial: Dial, owner: Owner, ear: Ear, probe: tuple[int, bytes], habits: Habits
    ) -> None:
        """`home`: what the node is known as. `probe`: the channel on which the pod hears itself, with its partition."""
        self.home = home
        self._owner = owner
        self._probe = probe
        self._publish = b"SPUBLISH" if habits.sharded else b"PUBLISH"
        self._listening = False
        self._proven = False
        """Whether the last word came back."""
        self.up = False
        self.incarnation = b""
        """What the server was called when it was reached last."""
        self.writing = Lane(dial, self, habits.patience)
        self.reading = Lane(dial, self, habits.patience, _READS)
        self.listener = Listener(dial, self, ear, probe[1], habits.patience, sharded=habits.sharded)
        self._canary = Canary(self, habits.interval)

    @property
    def round_trip(self) -> float | None:
        """Seconds that the last word took to come back; None before the first."""
        return self._canary.round_trip

    @property
    def probe_partition(self) -> int:
        return self._probe[0]

    def start(self) -> None:
        for part in (self.writing, self.reading, self.listener):
            part.start()

    async def close(self) -> None:
        self._canary.rest()
        for part in (self.writing, self.reading, self.listener):
            await part.close()
        # Closing them has set it off again where one was up before the others went.
        self._canary.rest()

    def probe_on(self, probe: tuple[int, bytes]) -> None:
        """Another channel is the pod's own: the node does not have the slot of the old one any more."""
        self._probe = probe
        self.listener.probe_on(probe[1])

    def belong(self, place: Place) -> None:
        """The server is at `place` now: whatever leads to another one is connected anew."""
        for link in self._links:
            if link.place not in (None, place):
                link.break_off(f"the server is now {place}")

    @property
    def _links(self) -> tuple[Link, ...]:
        return self.writing.link, self.reading.link, self.listener.link

    # What the canary asks for and finds.

    def send(self, word: bytes, sent: Callable[[bool], None]) -> None:
        def then(reply: object) -> None:
            if isinstance(reply, Complaint) and reply.kind == "NOPERM":
                self._owner.failed(Misconfigured(f"{reply}; allow the Redis user our channels"))
            sent(isinstance(reply, int))

        partition, channel = self._probe
        self.writing.offer(Command(pack(self._publish, channel, word), then, partition))

    def well(self) -> None:
        self._proven = True
        self._rise()

    def ill(self) -> None:
        self._sink("what we say does not come back")

    def deaf(self) -> None:
        self._owner.deaf()
        self.listener.link.break_off("deaf")

    # What the lanes report.

    def lane_up(self, wire: Wire) -> None:
        self.incarnation = wire.incarnation
        self._find_out()
        self._rise()

    def lane_down(self, why: str) -> None:
        self._sink(why)

    def lane_failed(self, error: Away | Misconfigured) -> None:
        self._owner.failed(error)

    def complained(self, complaint: Complaint) -> None:
        self._owner.complained(complaint)

    def elsewhere(self, lane: Lane, commands: Sequence[tuple[Command, Complaint]]) -> None:
        self._owner.elsewhere(self, lane, commands)

    # What the listener reports.

    def probed(self, data: bytes) -> None:
        self._canary.heard(data)

    def listening(self) -> None:
        self._listening = True
        self._find_out()

    def silent(self, why: str) -> None:
        self._listening = False
        self._sink(why)

    def listening_failed(self, error: Away | Misconfigured) -> None:
        self._owner.failed(error)

    def displaced(self) -> None:
        self._owner.displaced()

    def _find_out(self) -> None:
        """The server was reached: the others need not rest, and a word goes out at once instead of when it is due."""
        for link in self._links:
            link.hurry()
        if not self._proven and self._listening and self.writing.up:
            self._canary.fly()

    def _rise(self) -> None:
        if not self.up and self._proven and self.reading.up:
            self.up = True
            self._owner.node_up(self)

    def _sink(self, why: str) -> None:
        self._proven = False
        if self.up:
            self.up = False
            self._owner.node_down(self, why)
