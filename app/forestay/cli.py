"""The command line: serve, check, find faults, mint a token, ping a gateway, and use rooms from a terminal."""

import argparse
import asyncio
import os
import random
import re
import secrets
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, NoReturn

import structlog

from forestay import __version__, build
from forestay.edge.tokens.verifier import parse_rooms
from forestay.ops.logs import logs
from forestay.pod import dev_mode
from forestay.pod.minting import mint_token
from forestay.settings.dev_keys import NoDevKeysError
from forestay.settings.secrets import read_secret, variable_of
from forestay.settings.settings import TOKEN, SettingsError, explain_unknown, load
from forestay.terminal import top
from forestay.terminal import verbs as terminal
from forestay.terminal.failed import Failed
from forestay.terminal.verbs import duration
from forestay.terminal.words import shown

log = structlog.get_logger(__name__)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line and exits: 0 success, 1 failure, 2 wrong arguments or settings, 130 interrupted."""
    with _printing():
        options = _parser().parse_args(arguments)
        try:
            options.run(options)
        except SettingsError as error:
            _exit_with(2, "Invalid settings:", *(f"  {problem}" for problem in [*error.problems, *explain_unknown()]))
        except Failed as error:
            _exit_with(error.status, f"forestay: {error}")
        except KeyboardInterrupt:
            sys.exit(130)


@contextmanager
def _printing() -> Iterator[None]:
    """Ends quietly where the reader of our output, such as `head`, has ended. The exit status stays."""
    try:
        yield
    except BrokenPipeError:
        pass
    finally:
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            # The interpreter flushes once more at its end, and needs a valid descriptor for it.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


# The value of an option, as an error about the option repeats it.
_VALUE: Final = re.compile(r"(--[\w-]+)=\S+")


class _Parser(argparse.ArgumentParser):
    """Names unknown options without their values, which may be a token or a password."""

    def error(self, message: str) -> NoReturn:
        known, colon, words = message.partition("unrecognized arguments: ")
        if colon:
            names = [word.partition("=")[0] for word in words.split() if word.startswith("--")]
            message = f"{known}{colon}{' '.join(names) or 'more than this command takes'}"
        super().error(_VALUE.sub(r"\1=...", message))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="forestay",
        description="Real-time rooms for Kubernetes: WebSocket connections that survive deploys.",
        epilog="Settings are environment variables that start with FORESTAY_; docs/settings.md lists them.",
    )
    parser.add_argument("--version", action="version", version=f"forestay {__version__} ({build.kind()})")
    verbs = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    serve = verbs.add_parser("serve", help="run the gateway until SIGTERM or SIGINT")
    serve.add_argument("--host", help="address to listen on (FORESTAY_HOST)")
    serve.add_argument("--port", type=int, help="public port; 0 picks a free one (FORESTAY_PORT)")
    serve.add_argument(
        "--internal-port", type=int, help="port of the probes, the metrics and the HTTP API (FORESTAY_INTERNAL_PORT)"
    )
    serve.add_argument("--bus-url", help="URL of the bus between pods (FORESTAY_BUS_URL)")
    serve.add_argument(
        "--dev",
        action="store_true",
        help="INSECURE: listen on loopback only, for all pages of this machine; keep random keys; serve the demo page",
    )
    serve.set_defaults(run=_serve)

    check = verbs.add_parser("check", help="validate the settings and print the drain budget")
    check.set_defaults(run=_check)

    doctor = verbs.add_parser(
        "doctor", help="try what a gateway needs here, with a remedy for each fault; 1 if one fails"
    )
    doctor.add_argument("--json", action="store_true", help="print one line of JSON")
    doctor.add_argument(
        "--timeout", type=duration, default=5.0, metavar="TIME", help="time limit of each check (default 5s)"
    )
    doctor.set_defaults(run=_doctor)

    token = verbs.add_parser("token", help="mint a development token with FORESTAY_JWT_SECRET")
    token.add_argument("--user", required=True, help="the user of the token (claim 'sub')")
    token.add_argument(
        "--rooms",
        nargs="+",
        metavar="PATTERN:RIGHTS",
        help="rights by room pattern, for example 'chat.*:rw' (default: FORESTAY_DEFAULT_RIGHTS)",
    )
    token.add_argument(
        "--ttl", type=duration, default=3600.0, help="lifetime, for example 90s, 15m, 1h or 7d (default 1h)"
    )
    token.add_argument("--dev", action="store_true", help="for the gateways that `serve --dev` runs on this machine")
    token.set_defaults(run=_token)

    ping = verbs.add_parser("ping", help="send a message through a gateway and back; exit 0 if it came back")
    ping.add_argument("address", nargs="?", metavar="URL", help="the same as --url")
    terminal.add_target(ping)
    ping.add_argument("--room", default=None, help="room for the message (default: a new room with a random name)")
    ping.add_argument(
        "--timeout", type=duration, default=10.0, help="time limit for the whole exchange, for example 5s (default 10s)"
    )
    ping.set_defaults(run=_ping)
    terminal.add(verbs.add_parser, lambda options: _bearer(options, options.user, None))
    top.add(verbs.add_parser, lambda: read_secret("api_key", os.environ))
    return parser


def _serve(options: argparse.Namespace) -> None:
    overrides = {name: getattr(options, name) for name in ("host", "port", "internal_port", "bus_url")}
    not_kept = ""
    if options.dev:
        given, not_kept = dev_mode.overrides(options.host, options.bus_url)
        overrides |= given
    settings = load(**overrides)
    logs.configure(settings.log_level, settings.log_format)
    # Imported here so that `token` and `--help` do not load the whole server.
    from forestay.pod import inputs, process
    from forestay.pod.event_loops import run
    from forestay.pod.server import CannotStart
    from forestay.pod.tasks import Supervisor

    tasks = Supervisor(random.uniform)
    development = dev_mode.development(settings) if options.dev else None
    parts = inputs.prepare(settings, tasks, development)

    def started(port: int, internal_port: int) -> None:
        if development is not None:
            print(dev_mode.banner(settings, (port, internal_port), development.guests, not_kept), flush=True)

    for line in explain_unknown():
        log.warning("unknown setting", reason=line)
    try:
        run(parts.new_loop, process.serve(settings, parts, started))
    except CannotStart as error:
        _exit_with(1, f"forestay: {error}")


def _check(options: argparse.Namespace) -> None:
    settings = load()
    from forestay.pod import inputs
    from forestay.pod.diagnosis.configuration import doubts
    from forestay.pod.tasks import Supervisor
    from forestay.pod.times import explain_drain

    parts = inputs.prepare(settings, Supervisor(random.uniform))
    for line in doubts(settings, parts):
        print(f"warning: {line}")
    print(f"clients connect to {settings.path_prefix}/ws on port {settings.port}")
    for line in settings.open_ways_in(settings.path_prefix):
        print(line)
    for line in explain_drain(settings):
        print(line)
    print("ok")


def _doctor(options: argparse.Namespace) -> None:
    from forestay.pod.diagnosis.doctor import examine

    diagnosis = examine(options.timeout)
    print(diagnosis.as_json() if options.json else diagnosis.as_text())
    if not diagnosis.ok:
        sys.exit(1)


def _token(options: argparse.Namespace) -> None:
    try:
        settings = load(None, **(dev_mode.kept_keys() if options.dev else {}))
    except NoDevKeysError as error:
        _exit_with(2, f"forestay: the keys of --dev cannot be had: {error}")
    if settings.jwt_secret is None:
        raise SettingsError(
            [f"{variable_of('jwt_secret')} is not set, but it signs the tokens; for a gateway of --dev: token --dev"]
        )
    try:
        print(mint_token(settings, options.user, _rights(options.rooms), options.ttl))
    except ValueError as error:
        _exit_with(2, f"cannot mint this token: {error}")


def _ping(options: argparse.Namespace) -> None:
    from forestay.terminal.ping import Unanswered, ping

    url = options.address or options.url
    room = options.room or f"ping.{secrets.token_hex(8)}"
    token = _bearer(options, "ping", {room: "rw"})
    try:
        seconds = asyncio.run(ping(url, token, room, options.timeout))
    except Unanswered as error:
        _exit_with(1, f"no pong from {shown(url)}: {error}")
    print(f"pong from {shown(url)} in {seconds * 1000:.1f} ms")


def _bearer(options: argparse.Namespace, user: str, rooms: Mapping[str, str] | None) -> str:
    """Returns the given token, else mints one for `user`. Raises SettingsError if there is neither, and Failed."""
    token = str(options.token or os.environ.get(TOKEN) or "").strip()
    if token:
        return token
    settings = load()
    if settings.jwt_secret is None:
        raise SettingsError(
            [f"there is no token: give --token, or set {TOKEN}, or set {variable_of('jwt_secret')} to mint one"]
        )
    try:
        return mint_token(settings, user, rooms, 3600.0)
    except ValueError as error:
        raise Failed(str(error), 2) from None


def _rights(arguments: Sequence[str] | None) -> dict[str, str] | None:
    if arguments is None:
        return None
    return parse_rooms(" ".join(arguments))


def _exit_with(status: int, *lines: str) -> NoReturn:
    print("\n".join(lines), file=sys.stderr)
    sys.exit(status)
