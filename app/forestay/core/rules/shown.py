"""Names what the settings may let operators see of clients."""

from enum import StrEnum


class Shown(StrEnum):
    """It can be private data, and is hidden unless a setting names it."""

    ADDRESSES = "addresses"
    """Of clients that were turned away."""
    RIGHTS = "rights"
    """Of the tokens of connections."""
    PAYLOADS = "payloads"
    """Of messages that somebody watches."""
