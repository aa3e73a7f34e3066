"""Signs requests in the form of Standard Webhooks (https://www.standardwebhooks.com): HMAC-SHA256, version `v1`."""

import binascii
import hmac
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from typing import Final

PREFIX: Final = "whsec_"
"""What a secret of Standard Webhooks may begin with."""

SHORTEST: Final = 24
LONGEST: Final = 64
"""Bytes of a secret, as Standard Webhooks says."""


def parse_secret(text: str) -> bytes:
    """The key in a secret of Standard Webhooks. Raises ValueError, which does not repeat it."""
    form = "write whsec_ and base64; make one with: echo whsec_$(openssl rand -base64 32)"
    try:
        key = b64decode(text.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"not base64; {form}") from None
    if not SHORTEST <= len(key) <= LONGEST:
        raise ValueError(f"{len(key)} bytes, and not {SHORTEST} to {LONGEST}; {form}")
    return key


def signed_headers(keys: Sequence[bytes], id: str, unix: int, body: bytes) -> Mapping[str, str]:
    """The headers of a request with this `body`: its id, its time in Unix seconds, and a signature by each key."""
    content = b"%b.%d.%b" % (id.encode(), unix, body)
    signatures = (b64encode(hmac.digest(key, content, "sha256")).decode() for key in keys)
    return {
        "webhook-id": id,
        "webhook-timestamp": str(unix),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }
