"""What the handlers of the API share: their form, the limits of their bodies, and their answers."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import msgspec
from aiohttp import web

from forestay.core.rules.scopes import Grant

Handler: TypeAlias = Callable[[web.Request, Grant], Awaitable[web.StreamResponse]]

Paths: TypeAlias = Mapping[str, Mapping[str, Handler]]
"""The handlers by path and method. A path has names in it, such as `/v1/rooms/{room}/messages`."""


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """What the body of a request may have."""

    message_bytes: int
    """The largest message."""
    depth: int
    """Of nested arrays and objects in a message."""


def answered(body: object, status: int = 200) -> web.Response:
    """`body` as JSON."""
    return web.Response(status=status, body=msgspec.json.encode(body), content_type="application/json")
