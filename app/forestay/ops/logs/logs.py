"""Writes log lines, one per event: JSON for machines, or readable text on a terminal.

Text from clients cannot forge a line. The standard library's loggers, aiohttp's among them, use the same format.
"""

import logging
import re
import sys
from enum import StrEnum
from typing import Final

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from forestay.ops.logs.writer import LineHandler


class LogFormat(StrEnum):
    AUTO = "auto"
    """Text on a terminal, else JSON."""
    JSON = "json"
    TEXT = "text"


# Two things look like a token: text after the usual names of tokens, and the three parts of a JWT joined by dots.
# Code searches the dotted chains: one expression for both takes quadratic time on a long line.
_NAMED: Final = re.compile(r"(?<=base64url\.bearer\.forestay\.)[\w-]+|(?<=token=)[^&\s\"']+|(?<=Bearer )\S+")
_CHAIN: Final = re.compile(r"[\w.-]{12,}")
_SHORTEST_HEADER: Final = 10
_MULTILINE: Final = ("exception", "stack")


class _NoMalformedRequests(logging.Filter):
    """Drops aiohttp's log of a malformed request: its traceback repeats the request, which can contain a token."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return type(error).__module__ != "aiohttp.http_exceptions"


def configure(level: str, form: LogFormat) -> None:
    """Sets up logging for the process. `level`: the name of a standard level."""
    shared: list[Processor] = [
        _without_unknown,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _redact,
    ]
    terminal = sys.stderr is not None and sys.stderr.isatty()
    text = form is LogFormat.TEXT or (form is LogFormat.AUTO and terminal)
    readable: list[Processor] = [_printable, structlog.dev.ConsoleRenderer(colors=terminal)]
    renderers = readable if text else [structlog.processors.JSONRenderer()]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    # Python has no standard error where the process was started without one. Its number may be a client's socket then.
    handler = logging.NullHandler() if sys.stderr is None else LineHandler(sys.stderr.fileno())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
            foreign_pre_chain=[structlog.stdlib.PositionalArgumentsFormatter(), *shared],
        )
    )
    server = logging.getLogger("aiohttp.server")
    server.filters = [_NoMalformedRequests()]
    # Its warnings about unknown subprotocols repeat text from clients.
    logging.getLogger("aiohttp.websocket").setLevel(logging.ERROR)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)


def dropped() -> int:
    """Log lines of this process that could not be written."""
    return sum(handler.dropped for handler in logging.getLogger().handlers if isinstance(handler, LineHandler))


def _without_unknown(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Drops the fields whose value is None."""
    return {name: value for name, value in event.items() if value is not None}


def _printable(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Escapes characters that would move the cursor, end a line or change its direction; indents tracebacks."""
    for name, value in event.items():
        if isinstance(value, str) and not value.isprintable():
            lines = value.splitlines() if name in _MULTILINE else [value]
            event[name] = "\n    ".join(map(_escaped, lines))
    return event


def _escaped(text: str) -> str:
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def _redact(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Replaces everything that looks like a token."""
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = _CHAIN.sub(_without_tokens, _NAMED.sub("[redacted]", value))
    return event


def _without_tokens(chain: re.Match[str]) -> str:
    parts = chain[0].split(".")
    kept: list[str] = []
    while parts:
        part = parts.pop(0)
        start = part.find("ey")
        if start >= 0 and len(part) - start >= _SHORTEST_HEADER and len(parts) > 1:
            part = part[:start] + "[redacted]"
            del parts[:2]
        kept.append(part)
    return ".".join(kept)
