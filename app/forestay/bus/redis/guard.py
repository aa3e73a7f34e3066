"""Decides which messages from Redis are believed: those with a readable form and, with a secret, a signature."""

from dataclasses import dataclass
from typing import Final

from forestay.bus.redis.seal import Seal
from forestay.protocol.envelope import decode, encode
from forestay.protocol.inspection import Inspector
from forestay.protocol.message import Message, Position


@dataclass(frozen=True, slots=True)
class Guard:
    """Stands at the door between Redis and this pod."""

    inspector: Inspector | None = None
    """None lets every payload pass."""
    seal: Seal | None = None
    """None signs nothing, and takes messages with any signature."""

    def encode(self, channel: bytes, message: Message) -> bytes:
        """The envelope of `message`, which goes to `channel`."""
        envelope = encode(message)
        return envelope if self.seal is None else self.seal.sign(channel, envelope)

    def decode(self, channel: bytes, envelope: bytes, position: Position | None, *, live: bool) -> Message:
        """The message in `envelope`. `live`: it came on the channel, and not from a history. Raises BadEnvelope."""
        if self.seal is not None:
            self.seal.check(channel, envelope, live=live)
        message = decode(envelope, position)
        if self.inspector is not None:
            self.inspector.inspect(message)
        return message


TRUSTING: Final = Guard()
"""Believes every readable message."""
