"""Encodes messages for Redis, and decides which from Redis are believed, by their form and their signature."""

from dataclasses import dataclass
from typing import Final

from forestay.bus.redis.signatures import SEAL_BYTES, Signer
from forestay.protocol.envelope import decode, encode
from forestay.protocol.inspection import Inspector
from forestay.protocol.message import Message
from forestay.protocol.names import RoomName
from forestay.protocol.position import Position

# What begins data that is kept, and not sent.
_SEALED: Final = b"s"
_UNSEALED: Final = b"-"


@dataclass(frozen=True, slots=True)
class Guard:
    """The one way for messages from this pod to Redis and back."""

    inspector: Inspector | None = None
    """None lets every payload pass."""
    signer: Signer | None = None
    """None signs nothing, and takes messages with any signature."""

    def encode(self, channel: bytes, message: Message) -> bytes:
        """The envelope of `message`, which goes to `channel`."""
        envelope = encode(message)
        return envelope if self.signer is None else self.signer.sign(channel, envelope)

    def decode(
        self, channel: bytes, envelope: bytes, position: Position | None, room: RoomName | None = None, *, live: bool
    ) -> Message:
        """The message in `envelope`. Raises BadEnvelope.

        `room`: the one that it has to be of. `live`: it came on the channel, and not from a history.
        """
        if self.signer is not None:
            self.signer.check(channel, envelope, live=live)
        message = decode(envelope, position, room)
        if self.inspector is not None:
            self.inspector.inspect(message)
        return message

    def seal(self, name: bytes, data: bytes) -> bytes:
        """`data`, which is kept under `name`, so that `unseal` believes it."""
        return _UNSEALED + data if self.signer is None else _SEALED + self.signer.seal(name, data) + data

    def unseal(self, name: bytes, sealed: bytes) -> bytes | None:
        """The data in `sealed`; None where it is not believed."""
        kind, rest = sealed[:1], sealed[1:]
        if kind == _SEALED:
            data = rest[SEAL_BYTES:]
            return data if self.signer is None or self.signer.sealed(name, data, rest[:SEAL_BYTES]) else None
        return rest if kind == _UNSEALED and (self.signer is None or not self.signer.required) else None


TRUSTING: Final = Guard()
"""Believes every readable message."""
