"""The verbs of a client, `join`, `send`, `tail` and `load`: what they take, and what they do without the extra."""

import argparse
import asyncio
import logging
import os
import re
import secrets
import sys
from collections.abc import Callable

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
URL = "ws://localhost:8080/ws"

Bearer = Callable[[argparse.Namespace], str]
"""The token for what was typed, given or minted."""


NewVerb = Callable[..., argparse.ArgumentParser]
"""Makes the parser of a verb, from its name and its help."""


class Failed(Exception):
    """It did not work; the message says why, `status` is the one to exit with."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


def add(new: NewVerb, bearer: Bearer) -> None:
    """Add the verbs to the command line."""
    join = _client(new, bearer, "join", "be in a room: hear what is said there, and say what you type")
    join.add_argument("room")

    send = _client(new, bearer, "send", "say one thing in a room; exit 0 if it was accepted")
    send.add_argument("room")
    send.add_argument("text", help='sent as {"text": TEXT}; `-` is what comes on standard input')
    send.add_argument("--key", help="makes a retry safe, in rooms with history")

    tail = _client(new, bearer, "tail", "hear what is said in rooms, until Ctrl-C")
    tail.add_argument("room", nargs="*", default=["@me"], metavar="ROOM", help="default @me, the personal room")
    tail.add_argument(
        "--last", type=_number, default=0, metavar="N", help="begin with the last N that the room has kept"
    )

    for verb, what in ((send, "TEXT is JSON, and sent as it is"), (tail, "one line of JSON for each message")):
        verb.add_argument("--json", action="store_true", help=what)

    load = new("load", help="load a gateway, and count what arrives; exit 0 if everything did")
    load.add_argument("--room", help="default one that nobody else is in")
    load.add_argument("--connections", type=_number, default=100, metavar="N", help="members of the room (100)")
    load.add_argument(
        "--rate", type=_number, default=10, metavar="N", help="messages a second, of all of them together (10)"
    )
    load.add_argument("--seconds", type=duration, default=10.0, metavar="TIME", help="such as 30s or 2m (10s)")
    load.add_argument("--size", type=_number, default=200, metavar="BYTES", help="of a payload (200)")
    _where(load)
    load.set_defaults(run=lambda options: _load(options, bearer))


def duration(text: str) -> float:
    """Seconds from words such as 90s, 15m, 1h or 7d."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"a duration such as 90s, 15m, 1h or 7d, not {text!r}")
    return float(match[1]) * UNITS[match[2] or "s"]


def _number(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"a number above 0, not {text!r}")
    return int(text)


def _client(new: NewVerb, bearer: Bearer, name: str, what: str) -> argparse.ArgumentParser:
    verb = new(name, help=what)
    verb.add_argument("--timeout", type=duration, default=10.0, help="for the connection, and for an answer (10s)")
    _where(verb)
    verb.set_defaults(run=lambda options: _talk(name, options, bearer))
    return verb


def _where(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--url", default=URL, help=f"default {URL}")
    verb.add_argument("--token", help="default FORESTAY_TOKEN; without it one is minted with FORESTAY_JWT_SECRET")
    verb.add_argument("--user", default="terminal", help="whom a minted token is for (terminal)")


def _talk(name: str, options: argparse.Namespace, bearer: Bearer) -> None:
    try:
        from forestay.terminal import rooms
    except ModuleNotFoundError as error:
        if error.name not in ("forestay_client", "websockets"):
            raise
        raise Failed(f"forestay {name} needs the client: pip install 'forestay[client]'", 2) from None
    # The client says there why it has no connection, and when it tries again.
    logging.basicConfig(level=logging.INFO, format="forestay: %(message)s", stream=sys.stderr)
    logging.getLogger("websockets").setLevel(logging.WARNING)
    bearer(options)
    try:
        asyncio.run(rooms.VERBS[name](options, lambda: bearer(options)))
    except BrokenPipeError:
        # Whoever read us has seen enough, such as `head`; what the interpreter still flushes has to go somewhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _load(options: argparse.Namespace, bearer: Bearer) -> None:
    from forestay.terminal.load import Load, load

    room = options.room or f"load.{secrets.token_hex(4)}"
    given = Load(room, options.connections, options.rate, options.seconds, options.size)
    try:
        missing = load(options.url, bearer(options), given)
    except ValueError as error:
        raise Failed(str(error), 2) from None
    except (OSError, RuntimeError) as error:
        raise Failed(f"{options.url}: {error}") from None
    if missing:
        raise Failed(missing)
