"""Encodes messages for Redis, and decides which from Redis are believed, by their form and their signature."""

from dataclasses import dataclass
from typing import Final

from forestay.bus.redis.signatures import Signer
from forestay.protocol.envelope import decode, encode
from forestay.protocol.inspection import Inspector
from forestay.protocol.message import Message, Position


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

    def decode(self, channel: bytes, envelope: bytes, position: Position | None, *, live: bool) -> Message:
        """The message in `envelope`. `live`: it came on the channel, and not from a history. Raises BadEnvelope."""
        if self.signer is not None:
            self.signer.check(channel, envelope, live=live)
        message = decode(envelope, position)
        if self.inspector is not None:
            self.inspector.inspect(message)
        return message


TRUSTING: Final = Guard()
"""Believes every readable message."""
