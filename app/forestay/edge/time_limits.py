"""Lets the handler of a request take longer than others: a stream has an end of its own."""

from asyncio import Timeout
from typing import Final

from aiohttp import web

_LIMIT: Final = web.RequestKey("limit", Timeout)


def limit(request: web.BaseRequest, timeout: Timeout) -> None:
    """Note the time limit of `request`."""
    request[_LIMIT] = timeout


def lift(request: web.BaseRequest) -> None:
    """Let `request` take as long as its handler wants, where it has a time limit."""
    if _LIMIT in request:
        request[_LIMIT].reschedule(None)
