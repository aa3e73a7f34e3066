"""The snippets of docs/from-socketio.md do what the page says."""

import os
import sys
from collections.abc import Mapping

import pytest

from forestay.protocol.names import escape
from tests.support.gateway import API_KEY, Client, gateway, token
from tests.support.node import node, program_output
from tests.support.repository import blocks

PAGE = "docs/from-socketio.md"
# Its first character, and others, stand for themselves in no name.
ROOM = "-Größe 7/x_y.z:%"
CALLS: Mapping[str, str] = {
    "python": f"emit({ROOM!r}, 'chat message', 'hi', {{'n': 1}})",
    "js": f"await emit({ROOM!r}, 'chat message', 'hi', {{ n: 1 }});",
}


@pytest.mark.parametrize("language", CALLS)
async def test_emit_reaches_the_room(language: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each `emit` of the page brings an event with its arguments to a room, whatever the room is called."""
    [snippet] = [text for text in blocks(PAGE, language) if "def emit" in text or "function emit" in text]
    async with gateway() as running:
        client = await Client.open(running.port, token())
        await client.hear("welcome")
        await client.say({"type": "join", "room": escape(ROOM)})
        await client.hear("joined")
        monkeypatch.setitem(os.environ, "FORESTAY_API", f"{running.internal}/v1")
        monkeypatch.setitem(os.environ, "FORESTAY_API_KEY", API_KEY)
        program = f"{snippet}\n{CALLS[language]}\n"
        command = [sys.executable, "-c"] if language == "python" else [node(), "--input-type=module", "-e"]
        await program_output(*command, program)
        heard = await client.hear("broadcast")
        assert (heard["event"], heard["payload"]) == ("chat message", ["hi", {"n": 1}])
        await client.close()


def test_the_snippets_are_short() -> None:
    """`emit` fits into twenty lines in each language."""
    for language in CALLS:
        [snippet] = [text for text in blocks(PAGE, language) if "def emit" in text or "function emit" in text]
        assert len([line for line in snippet.splitlines() if line.strip()]) <= 20
