"""The commands `join`, `send`, `tail` and `load`: their arguments, and an error where the client is not installed."""

import argparse
import asyncio
import logging
import os
import secrets
import sys
from collections.abc import Callable
from typing import Final

from forestay.core.rules.durations import parse_duration
from forestay.terminal.failed import Failed
from forestay.terminal.words import shown, system_words, usable

URL: Final = "FORESTAY_URL"
"""The variable that says which gateway is meant."""
GATEWAY: Final = "ws://localhost:8080/ws"
"""The gateway that is meant where nothing says which."""

Bearer = Callable[[argparse.Namespace], str]
"""Returns the token for the parsed arguments: a given one, or a minted one."""


NewVerb = Callable[..., argparse.ArgumentParser]
"""Makes the parser of a command from its name and its help."""


def add(new: NewVerb, bearer: Bearer) -> None:
    """Adds the commands to the command line."""
    join = _client_verb(new, bearer, "join", "join a room: print its messages, and publish the lines that you type")
    join.add_argument("room")

    send = _client_verb(new, bearer, "send", "publish one message in a room; exit 0 if it was accepted")
    send.add_argument("room")
    send.add_argument("text", help='sent as {"text": TEXT}; `-` reads standard input')
    send.add_argument("--event", metavar="NAME", help='sent as the event NAME with the arguments ["TEXT"]')
    send.add_argument("--key", help="idempotency key: makes a retry safe in rooms with history")

    tail = _client_verb(new, bearer, "tail", "print the messages of rooms until Ctrl-C")
    tail.add_argument("room", nargs="*", default=["@me"], metavar="ROOM", help="rooms (default @me, the personal room)")
    tail.add_argument(
        "--last", type=_number, default=0, metavar="N", help="start with the last N messages of the room's history"
    )

    for verb, text in ((send, "TEXT is JSON and is sent as the payload"), (tail, "print one line of JSON per message")):
        verb.add_argument("--json", action="store_true", help=text)

    load = new("load", help="load a gateway and count deliveries; exit 0 if all messages arrived")
    load.add_argument("--room", help="room (default: a new room with a random name)")
    load.add_argument("--connections", type=_number, default=100, metavar="N", help="members of the room (default 100)")
    load.add_argument("--rate", type=_number, default=10, metavar="N", help="messages per second in total (default 10)")
    load.add_argument(
        "--seconds", type=duration, default=10.0, metavar="TIME", help="duration, for example 30s or 2m (default 10s)"
    )
    load.add_argument("--size", type=_number, default=200, metavar="BYTES", help="size of a payload (default 200)")
    load.add_argument("--json", action="store_true", help="print the result as one line of JSON")
    add_target(load)
    load.add_argument("--user", default="terminal", help="user of a minted token (default terminal)")
    load.set_defaults(run=lambda options: _run_load(options, bearer))


def add_target(verb: argparse.ArgumentParser) -> None:
    """Adds the options that say which gateway a command talks to, and as whom."""
    verb.add_argument(
        "--url", default=known_url() or GATEWAY, help=f"URL of the gateway (default {URL}, else {GATEWAY})"
    )
    verb.add_argument("--token", help="token (default FORESTAY_TOKEN; else one is minted with FORESTAY_JWT_SECRET)")


def known_url() -> str:
    """The URL that the environment has; empty where it has none."""
    return os.environ.get(URL, "").strip()


def duration(text: str) -> float:
    """Parses a duration such as 90s, 15m, 1h30m or 7d. Returns seconds."""
    try:
        return parse_duration(text.strip())
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from None


def _number(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"not a whole number above 0: {text!r}")
    return int(text)


def _client_verb(new: NewVerb, bearer: Bearer, name: str, what: str) -> argparse.ArgumentParser:
    verb = new(name, help=what)
    verb.add_argument(
        "--timeout", type=duration, default=10.0, help="time limit for the connection and for each answer (default 10s)"
    )
    add_target(verb)
    verb.add_argument("--user", default="terminal", help="user of a minted token (default terminal)")
    verb.set_defaults(run=lambda options: _run_client(name, options, bearer))
    return verb


def _run_client(name: str, options: argparse.Namespace, bearer: Bearer) -> None:
    try:
        from forestay.terminal import rooms
    except ModuleNotFoundError as error:
        if error.name not in ("forestay_client", "websockets"):
            raise
        raise Failed(f"forestay {name} needs the client: pip install 'forestay[client]'", 2) from None
    # The client logs why it has no connection, and when it tries again.
    logging.basicConfig(level=logging.INFO, format="forestay: %(message)s", stream=sys.stderr)
    logging.getLogger("websockets").setLevel(logging.WARNING)
    get_token = _usable(bearer)
    get_token(options)
    asyncio.run(rooms.VERBS[name](options, lambda: get_token(options)))


def _run_load(options: argparse.Namespace, bearer: Bearer) -> None:
    from forestay.terminal.load import Load, load

    room = options.room or f"load.{secrets.token_hex(4)}"
    plan = Load(room, options.connections, options.rate, options.seconds, options.size)
    try:
        result = load(options.url, bearer(options), plan)
    except ValueError as error:
        raise Failed(str(error), 2) from None
    except OSError as error:
        raise Failed(f"{shown(options.url)}: {system_words(error) or 'no answer'}") from None
    except RuntimeError as error:
        raise Failed(f"{shown(options.url)}: {error}") from None
    print(result.as_json() if options.json else result.as_text(plotted=sys.stdout.isatty()))
    if result.missing:
        raise Failed(result.missing)


def _usable(bearer: Bearer) -> Bearer:
    """Returns a function that raises Failed for a token that no header can hold."""

    def checked(options: argparse.Namespace) -> str:
        try:
            return usable(bearer(options))
        except ValueError as error:
            raise Failed(str(error), 2) from None

    return checked
