"""Signs envelopes, and tells signed ones from forged ones.

A signature is two more values at the end of the envelope: the time in milliseconds, and an HMAC over the channel
and all before it. Releases that know no signatures ignore both.
"""

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Final

from forestay.protocol.envelope import VERSION, BadEnvelope

WINDOW: Final = 60.0
"""Seconds for which a live message is believed after it was signed. The clocks of pods may differ by as much."""

# The HMAC is cut to 128 bits, which nobody can guess. In base64 that is a string of 22 characters.
_MAC_BYTES: Final = 16
_MAC_TEXT: Final = 22
SEAL_BYTES: Final = _MAC_TEXT
"""Of a seal."""
_STRING: Final = 0xA0 + _MAC_TEXT
_UINT64: Final = 0xCF
_TIME_BYTES: Final = 9
_SIGNATURE: Final = 1 + _MAC_TEXT
_ADDED: Final = _TIME_BYTES + _SIGNATURE

_SHORT_ARRAY: Final = 0x90
_MOST_FIELDS: Final = 15


class Forged(BadEnvelope):
    """The signature is wrong, too old, or missing where one is required."""


class Signatures(StrEnum):
    """What happens to messages without a signature."""

    ACCEPT = "accept"
    """They are taken: pods without the secret, or of an older release, send them."""
    REQUIRED = "required"
    """They are dropped."""


class Signer:
    """Signs with the first secret, and accepts the signatures of all."""

    def __init__(self, secrets: Sequence[bytes], clock: Callable[[], float], *, required: bool) -> None:
        """`clock`: Unix seconds. `required`: envelopes without a signature are forged too."""
        # Each is copied for a message, which costs less than to begin with the secret.
        self._keyed = [hmac.new(secret, digestmod="sha256") for secret in secrets]
        self._clock = clock
        self.required = required

    def sign(self, channel: bytes, envelope: bytes) -> bytes:
        """`envelope` with a signature for `channel`."""
        fields = envelope[1] - _SHORT_ARRAY
        time = int(self._clock() * 1000).to_bytes(8, "big")
        signed = b"%b%c%b%c%b" % (VERSION, _SHORT_ARRAY + fields + 2, envelope[2:], _UINT64, time)
        return b"%b%c%b" % (signed, _STRING, _mac(self._keyed[0], channel, signed))

    def seal(self, name: bytes, data: bytes) -> bytes:
        """The seal of `data` that is kept under `name`."""
        return _mac(self._keyed[0], name, data)

    def sealed(self, name: bytes, data: bytes, given: bytes) -> bool:
        """Whether `given` is the seal of `data`."""
        return any(hmac.compare_digest(_mac(keyed, name, data), given) for keyed in self._keyed)

    def check(self, channel: bytes, envelope: bytes, *, live: bool) -> None:
        """Raises Forged. `live`: the message was just sent, so that its time counts."""
        if not _is_signed(envelope):
            if self.required:
                raise Forged("no signature, and it is required; does every pod have the secret?")
            return
        signed, given = envelope[:-_SIGNATURE], envelope[-_MAC_TEXT:]
        if not any(hmac.compare_digest(_mac(keyed, channel, signed), given) for keyed in self._keyed):
            raise Forged("a wrong signature; do all pods have the same secret?")
        if live:
            age = self._clock() - int.from_bytes(signed[1 - _TIME_BYTES :], "big") / 1000
            if not -WINDOW <= age <= WINDOW:
                raise Forged("signed too long ago, or by a clock that differs by a minute")


def _mac(keyed: hmac.HMAC, channel: bytes, signed: bytes) -> bytes:
    """The signature of `signed` for `channel`, with a key that has taken nothing yet."""
    mac = keyed.copy()
    mac.update(b"%b\0%b" % (channel, signed))
    return urlsafe_b64encode(mac.digest()[:_MAC_BYTES])[:_MAC_TEXT]


def _is_signed(envelope: bytes) -> bool:
    return (
        len(envelope) > _ADDED + 2
        and envelope[:1] == VERSION
        and _SHORT_ARRAY + 2 < envelope[1] <= _SHORT_ARRAY + _MOST_FIELDS
        and envelope[-_SIGNATURE] == _STRING
        and envelope[-_ADDED] == _UINT64
    )
