"""Cuts pages of history and presence to a number of bytes, so that nobody gets a larger message than the largest."""

from collections.abc import Iterable, Sequence

from msgspec import Raw
from msgspec.json import encode as to_json

from forestay.protocol.message import Message
from forestay.protocol.presence import PresencePage, user_fields


def history_fields(
    epoch: str, messages: Sequence[Message], *, more: bool, newest: bool, max_bytes: int
) -> dict[str, object]:
    """A page of history as the `history` reply and the HTTP API show it, in `max_bytes` of JSON.

    `newest`: a page that is too large loses its oldest messages, and otherwise its newest ones. One message always
    stays.
    """
    left = max_bytes - len(to_json({"epoch": epoch, "messages": [], "more": more}))
    entries = _within(reversed(messages) if newest else messages, left)
    if newest:
        entries.reverse()
    return {"epoch": epoch, "messages": entries, "more": more or len(entries) < len(messages)}


def presence_fields(page: PresencePage, max_bytes: int) -> dict[str, object]:
    """A page of presence as the `presence` reply and the HTTP API show it, in `max_bytes` of JSON.

    A page that is too large ends earlier. One user always stays.
    """
    fields: dict[str, object] = {"count": page.connections, "users": page.users, "members": []}
    if page.degraded:
        fields["degraded"] = True
    left = max_bytes - len(to_json(fields))
    members: list[Raw] = []
    for one in page.members:
        entry = to_json(user_fields(one.user, one.info) | {"connections": one.connections})
        left -= len(entry) + 1
        # The page may have to name its last user once more.
        if members and left < len(to_json({"next": one.user})):
            break
        members.append(Raw(entry))
    fields["members"] = members
    if page.more or len(members) < len(page.members):
        fields["next"] = page.members[len(members) - 1].user
    return fields


def _within(messages: Iterable[Message], max_bytes: int) -> list[Raw]:
    """The entries of the first messages, as many as a list in `max_bytes` takes with its commas."""
    found: list[Raw] = []
    # The first entry has no comma.
    left = max_bytes + 1
    for message in messages:
        entry = to_json(_entry(message))
        left -= len(entry) + 1
        if found and left < 0:
            break
        found.append(Raw(entry))
    return found


def _entry(message: Message) -> dict[str, object]:
    entry: dict[str, object] = {"offset": message.position.offset if message.position else 0}
    if message.sender is not None:
        entry["from"] = message.sender
    if message.event is not None:
        entry["event"] = message.event
    return entry | {"payload": Raw(message.payload), "timestamp": message.timestamp}
