"""The token is renewed on the living connection before it expires."""

import asyncio
import logging

from forestay_client.backoff import Backoff
from forestay_client.codes import NORMAL, Verdict
from forestay_client.connection import Connection
from forestay_client.endings import UNAUTHORIZED, Ending
from forestay_client.errors import RefusedError, UnauthorizedError, UnknownOutcomeError
from forestay_client.token import Tokens, said_of

_LOG = logging.getLogger("forestay_client")

_SOON = 1.0
"""Seconds between renewals, at least, where the application's tokens hardly live longer than the margin."""


async def keep_renewed(connection: Connection, tokens: Tokens, margin: float, backoff: Backoff) -> None:
    """Runs until it is cancelled, the token never expires, or the connection has to end over it."""
    while (remaining := tokens.remaining(connection.token)) != float("inf"):
        await asyncio.sleep(remaining - margin if remaining > margin else max(_SOON, remaining / 2))
        wait = await _renew(connection, tokens)
        while wait is not None:
            await asyncio.sleep(wait or backoff.next())
            wait = await _renew(connection, tokens)
        backoff.reset()


async def _renew(connection: Connection, tokens: Tokens) -> float | None:
    """One try: None if it is done, else how many seconds to wait before the next, 0 where that is open."""
    try:
        token = await tokens.renew()
    except UnauthorizedError:
        connection.end(UNAUTHORIZED)
        return None
    except Exception as error:  # noqa: BLE001 - whatever goes wrong in the application's function may pass
        _LOG.warning("no token to renew with: %s", said_of(error))
        return 0.0
    try:
        await connection.ask(type="auth", payload={"token": token})
    except RefusedError as error:
        if error.code != "identity_changed":
            return error.retry_after or 0.0
        tokens.keep(token)
        connection.end(Ending(NORMAL, "identity changed", Verdict.RECONNECT, at_once=True))
        return None
    except UnknownOutcomeError:
        return None
    tokens.keep(token)
    connection.token = token
    return None
