"""Lets a handler wait only as long as its client is there. aiohttp tells no handler that its client has gone."""

import asyncio
from typing import Protocol, cast

from aiohttp import web


class _Told(Protocol):
    waiting: asyncio.Future[bytes] | None
    """Fails when the connection is lost."""


async def wait_with(request: web.BaseRequest, waiting: asyncio.Future[bytes]) -> bytes:
    """The result of `waiting`. Raises ConnectionError as soon as the client of `request` has gone."""
    if request.transport is None or request.transport.is_closing():
        raise ConnectionResetError("the client has gone")
    protocol = cast(_Told, request.protocol)
    protocol.waiting = waiting
    try:
        return await waiting
    finally:
        protocol.waiting = None
        # It may hold an error whose traceback holds this frame, and the frame the whole request.
        del waiting
