"""`forestay ping` reads no message that nests too deep."""

from collections.abc import AsyncIterator, Sequence
from typing import cast

import aiohttp
import pytest
from aiohttp import WSMessage, WSMsgType

from forestay.terminal.ping import Unanswered, _wait_for


class Heard:
    """A socket that receives these texts and is closed then."""

    close_code = 1000

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = texts

    async def __aiter__(self) -> AsyncIterator[WSMessage]:
        for text in self._texts:
            yield WSMessage(WSMsgType.TEXT, text, None)


async def heard(*texts: str) -> None:
    await _wait_for(cast(aiohttp.ClientWebSocketResponse, Heard(texts)), "broadcast", None)


async def test_a_message_that_nests_too_deep_is_skipped() -> None:
    """Others may send it to the room; the probe's own message is flat."""
    deep = '{"type":"broadcast","payload":' + "[" * 5000 + "]" * 5000 + "}"
    with pytest.raises(Unanswered):
        await heard(deep)
    await heard(deep, '{"type":"broadcast","payload":1}')
