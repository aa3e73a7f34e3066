"""What happens between the signal and the exit: nobody new, and everybody told."""

import asyncio
from typing import Final

import structlog

from app.core.lifecycle import Lifecycle, State
from app.core.reception import Reception
from app.protocol.codes import ENDINGS, CloseCode

log = structlog.get_logger(__name__)

# Closing thousands of sockets in one go would hold up the probes and everybody's last messages.
_AT_ONCE: Final = 128


async def drain(lifecycle: Lifecycle, reception: Reception) -> None:
    """Let nobody in any more and end every connection with 1001, what was pending first."""
    lifecycle.move(State.DRAINING)
    everybody = reception.roster.everybody()
    log.info("draining", connections=len(everybody))
    for number, connection in enumerate(everybody, start=1):
        reception.end(connection, ENDINGS[CloseCode.GOING_AWAY])
        if number % _AT_ONCE == 0:
            await asyncio.sleep(0)
