"""The policies of rooms, by the pattern of the room's name. The first pattern that matches decides.

The policies come from ROOMS_FILE. This module reads the tables, not the file.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from enum import StrEnum
from typing import Final

from forestay.core.rules.durations import parse_duration
from forestay.core.rules.hooks import OF_ROOMS, Hook
from forestay.protocol.names import PERSONAL, Pattern, RoomName, personal_room, shown


class Slow(StrEnum):
    """What happens to a member that takes messages more slowly than they come."""

    DISCONNECT = "disconnect"
    DROP_OLDEST = "drop_oldest"


class Webhook(StrEnum):
    """What the application's backend is told of a room, or of a user."""

    OCCUPIED = "occupied"
    VACATED = "vacated"
    ONLINE = "online"
    OFFLINE = "offline"
    MESSAGE = "message"


NO_WEBHOOKS: Final[frozenset[Webhook]] = frozenset()
NO_HOOKS: Final[frozenset[Hook]] = frozenset()
_OF_ROOMS: Final = (Webhook.OCCUPIED, Webhook.VACATED, Webhook.MESSAGE)
_OF_USERS: Final = (Webhook.ONLINE, Webhook.OFFLINE, Webhook.MESSAGE)

KEY_TTL: Final = 300
"""Seconds for which an idempotency key publishes once."""

QUIET_TTL: Final = 24 * 3600
"""Seconds by which epoch and offset outlive the entries: a client that comes back later learns that they are gone."""


@dataclass(frozen=True, slots=True)
class Retention:
    """How much of a room's history is kept."""

    size: int
    """Messages."""
    ttl: float
    """Seconds for which they are kept after the last one."""
    bytes: int = 0
    """Bytes of all of them; 0 means no limit. The newest message is always kept."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What holds for the rooms of one pattern."""

    pattern: str = "**"
    history: Retention | None = None
    """How much history is kept; None means that messages are only live."""
    presence: bool = False
    """Whether the pods know which users are in the room."""
    join_leave: bool = False
    """Whether members get `user-joined` and `user-left`. The room then has presence."""
    echo: bool = True
    """Whether senders get their own messages, where the message does not say otherwise."""
    slow: Slow = Slow.DISCONNECT
    trace: bool = False
    """Whether receivers see the `traceparent` of each message."""
    compress: bool = True
    """Whether messages are compressed for members that take compressed ones, where COMPRESSION is on."""
    webhooks: frozenset[Webhook] = NO_WEBHOOKS
    """What the backend is told. A room that tells `occupied` or `vacated` has presence."""
    hooks: frozenset[Hook] = NO_HOOKS
    """What the application is asked about, or told: Hook.JOIN, Hook.BROADCAST and Hook.LEAVE."""


SHIPPED: Final = Policy()
LARGEST_HISTORY: Final = 10_000
"""Messages. A returning client can get that many at once."""

LONGEST_HISTORY: Final = 30 * 86400
"""Seconds. A history is a cache for clients that reconnect, and no storage."""

LEAST_HISTORY_BYTES: Final = 1024
"""Bytes. A history that is smaller would keep one message."""

_FIELDS = {field.name for field in fields(Policy)}
# Rooms come and go. Decisions are kept for as many rooms as a pod may plausibly have, and then all forgotten.
_REMEMBERED = 20_000


def parse_policy(table: Mapping[str, object], base: Policy = SHIPPED) -> Policy:
    """The policy in one `[[rooms]]` table; missing fields are as in `base`. Raises ValueError."""
    unknown = sorted(set(table) - _FIELDS)
    if unknown:
        similar = get_close_matches(unknown[0], _FIELDS, n=1)
        meant = f"; did you mean {similar[0]}?" if similar else ";"
        raise ValueError(f"unknown {', '.join(unknown)}{meant} a room has {', '.join(sorted(_FIELDS))}")
    pattern = table.get("pattern")
    if not isinstance(pattern, str):
        raise ValueError("'pattern' is missing, for example pattern = \"chat.*\"")
    Pattern(pattern)
    history = _history(table["history"]) if "history" in table else base.history
    flags = {name: _flag(table, name, base) for name in ("presence", "join_leave", "echo", "trace", "compress")}
    if flags["join_leave"] and table.get("presence") is False:
        raise ValueError("'join_leave' needs presence; leave out presence = false")
    webhooks = _webhooks(table["webhooks"], pattern) if "webhooks" in table else base.webhooks
    hooks = _hooks(table["hooks"]) if "hooks" in table else base.hooks
    counted = not webhooks.isdisjoint((Webhook.OCCUPIED, Webhook.VACATED))
    if counted and table.get("presence") is False:
        raise ValueError("'webhooks' with occupied or vacated need presence; leave out presence = false")
    flags["presence"] |= flags["join_leave"] or counted
    slow = table.get("slow", base.slow)
    if slow not in list(Slow):
        raise ValueError(f"'slow' is one of {', '.join(Slow)}, not {slow!r}")
    return Policy(pattern=pattern, history=history, slow=Slow(str(slow)), webhooks=webhooks, hooks=hooks, **flags)


def _history(table: object) -> Retention:
    if not isinstance(table, Mapping) or set(table) - {"bytes"} != {"size", "ttl"}:
        raise ValueError(
            "'history' has 'size' in messages, 'ttl' in seconds or like \"10m\", and perhaps 'bytes': "
            "[rooms.history] size = 100, ttl = 60, bytes = 1000000"
        )
    size, ttl = table["size"], _seconds(table["ttl"])
    if not isinstance(size, int) or isinstance(size, bool) or not 1 <= size <= LARGEST_HISTORY:
        raise ValueError(f"'history.size' is 1 to {LARGEST_HISTORY} messages, not {size!r}")
    if not isinstance(ttl, int | float) or isinstance(ttl, bool) or not 0 < ttl <= LONGEST_HISTORY:
        raise ValueError(f"'history.ttl' is more than 0 and at most {LONGEST_HISTORY} seconds, not {ttl!r}")
    most = table.get("bytes", 0)
    if not isinstance(most, int) or isinstance(most, bool) or not (most == 0 or LEAST_HISTORY_BYTES <= most <= 2**40):
        raise ValueError(f"'history.bytes' is at least {LEAST_HISTORY_BYTES} bytes, or 0 for no limit, not {most!r}")
    return Retention(size, float(ttl), most)


def _seconds(value: object) -> object:
    try:
        return parse_duration(value) if isinstance(value, str) else value
    except ValueError as error:
        raise ValueError(f"'history.ttl' is {value!r}: {error}") from None


def _webhooks(words: object, pattern: str) -> frozenset[Webhook]:
    known = _OF_USERS if pattern == PERSONAL else _OF_ROOMS
    if not isinstance(words, list) or not all(word in known for word in words):
        raise ValueError(
            f"'webhooks' is a list of {', '.join(known)} for pattern = \"{pattern}\", not {words!r}; "
            f'online and offline belong to pattern = "{PERSONAL}", occupied and vacated to all others'
        )
    return frozenset(Webhook(word) for word in words)


def _hooks(words: object) -> frozenset[Hook]:
    if not isinstance(words, list) or not all(word in OF_ROOMS for word in words):
        raise ValueError(
            f"'hooks' is a list of {', '.join(OF_ROOMS)}, not {words!r}; "
            "FORESTAY_HOOKS_ASK has those that are about no room"
        )
    return frozenset(Hook(word) for word in words)


def _flag(table: Mapping[str, object], name: str, base: Policy) -> bool:
    value = table.get(name, getattr(base, name))
    if not isinstance(value, bool):
        raise ValueError(f"'{name}' is true or false, not {value!r}")
    return value


class Policies:
    """All policies, in the order in which they are tried."""

    def __init__(self, policies: Sequence[Policy] = (), otherwise: Policy = SHIPPED) -> None:
        self._policies = [(Pattern(policy.pattern), policy) for policy in policies]
        self._otherwise = otherwise
        self._known: dict[RoomName, Policy] = {}

    @property
    def personal(self) -> Policy:
        """The policy of personal rooms."""
        return self.of(personal_room("any"))

    @property
    def webhooks(self) -> bool:
        """Whether any room or user has webhooks."""
        return any(policy.webhooks for _, policy in self._policies) or bool(self._otherwise.webhooks)

    @property
    def hooks(self) -> frozenset[Hook]:
        """The hooks that any room has."""
        found = self._otherwise.hooks
        for _, policy in self._policies:
            found |= policy.hooks
        return found

    def of(self, room: RoomName) -> Policy:
        known = self._known.get(room)
        if known is None:
            name = shown(room)
            known = next((policy for pattern, policy in self._policies if pattern.matches(name)), self._otherwise)
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[room] = known
        return known
