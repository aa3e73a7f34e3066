"""One line per fact: JSON for machines, or a readable form on a terminal. Nothing that a client chose can forge a line.

The standard library's loggers, aiohttp's among them, go through the same door.
"""

import logging
import re
import sys
from enum import StrEnum
from typing import Final

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger


class LogFormat(StrEnum):
    AUTO = "auto"
    """Readable on a terminal, else JSON."""
    JSON = "json"
    TEXT = "text"


# Whatever looks like a token is one: what stands behind its usual names, or a JWT's three parts in a chain of words.
# The chains are looked into by hand: one expression for both takes the square of a long line's length.
_NAMED: Final = re.compile(r"(?<=base64url\.bearer\.forestay\.)[\w-]+|(?<=token=)[^&\s\"']+|(?<=Bearer )\S+")
_CHAIN: Final = re.compile(r"[\w.-]{12,}")
_SHORTEST_HEADER: Final = 10
_OF_SEVERAL_LINES: Final = ("exception", "stack")


class _Malformed(logging.Filter):
    """aiohttp logs a malformed request with a traceback that repeats it: a token in it would be kept."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return type(error).__module__ != "aiohttp.http_exceptions"


def configure(level: str, form: LogFormat) -> None:
    """Set up logging for the process. `level`: a standard level's name."""
    shared: list[Processor] = [
        _without_unknown,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _redact,
    ]
    text = form is LogFormat.TEXT or (form is LogFormat.AUTO and sys.stderr.isatty())
    readable: list[Processor] = [_plain, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
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
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
            foreign_pre_chain=[structlog.stdlib.PositionalArgumentsFormatter(), *shared],
        )
    )
    server = logging.getLogger("aiohttp.server")
    server.filters = [_Malformed()]
    # It warns of subprotocols that it does not know, in words that callers chose.
    logging.getLogger("aiohttp.websocket").setLevel(logging.ERROR)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)


def _without_unknown(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """What is not known makes no field."""
    return {name: value for name, value in event.items() if value is not None}


def _plain(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """What would move the cursor, end a line or turn it round is shown by its code; a traceback is set in."""
    for name, value in event.items():
        if isinstance(value, str) and not value.isprintable():
            lines = value.splitlines() if name in _OF_SEVERAL_LINES else [value]
            event[name] = "\n    ".join(map(_shown, lines))
    return event


def _shown(text: str) -> str:
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


def _redact(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Blank whatever looks like a token, wherever it stands."""
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = _CHAIN.sub(_without_tokens, _NAMED.sub("[redacted]", value))
    return event


def _without_tokens(chain: re.Match[str]) -> str:
    parts = chain[0].split(".")
    left: list[str] = []
    while parts:
        part = parts.pop(0)
        start = part.find("ey")
        if start >= 0 and len(part) - start >= _SHORTEST_HEADER and len(parts) > 1:
            part = part[:start] + "[redacted]"
            del parts[:2]
        left.append(part)
    return ".".join(left)
