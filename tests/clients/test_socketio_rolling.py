"""A rolling restart of two pods under stock Socket.IO clients. `python -m tests.clients.rolling` plays it in full."""

from pathlib import Path

import pytest

from tests.clients.rolling import Plan, rolling

pytestmark = pytest.mark.timeout(120)


async def test_a_rolling_restart_loses_and_repeats_nothing(js: Path) -> None:
    """Clients by WebSocket and by polling come back by themselves, evenly, recovered, and with each message once."""
    assert await rolling(Plan(clients=24, window=2.5, lead=0.5)) == []
