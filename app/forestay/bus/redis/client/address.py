"""Where Redis is and how to speak to it: BUS_URL, read once.

Every complaint says what is wrong and what to write instead, and none of them repeats the URL: it may hold a password.
"""

import re
from dataclasses import dataclass, field
from typing import Final, NamedTuple
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

PREFIX: Final = "forestay"
"""What all keys and channels start with; another one lets two gateways share a Redis."""

FORMS: Final = (
    "redis://host:6379/0, rediss://host:6379/0, redis+cluster://host:6379,host:6379 or "
    "redis+sentinel://host:26379,host:26379/0?master=name, each with user:password@ before the host where it needs one"
)

_SCHEMES: Final = ("redis", "rediss", "redis+cluster", "redis+sentinel")
_OPTIONS: Final = ("ca", "master", "prefix", "tls")
_SAFE_PREFIX = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII).fullmatch
_TRUTH: Final = {"1": True, "true": True, "0": False, "false": False}


class Place(NamedTuple):
    """Where one server listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Address:
    """A Redis, a Cluster, or the sentinels that know where it is."""

    places: tuple[Place, ...]
    """The server, some nodes of the Cluster, or the sentinels."""
    cluster: bool = False
    master: str | None = None
    """What the sentinels call the master; None where there are no sentinels."""
    database: int = 0
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: bool = False
    ca: str | None = None
    """A file of the authorities that may vouch for the server; None: the system's."""
    prefix: str = PREFIX


def parse_address(url: str) -> Address:
    """The address that `url` writes. Raises ValueError saying what is wrong and what to write."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError(f"not a URL; write {FORMS}") from None
    if parts.scheme not in _SCHEMES:
        raise ValueError(f"the scheme {parts.scheme!r} is unknown; write {FORMS}")
    options = _options(parts.query)
    sentinel = parts.scheme == "redis+sentinel"
    cluster = parts.scheme == "redis+cluster"
    credentials, _, hosts = parts.netloc.rpartition("@")
    user, _, password = credentials.partition(":")
    places = tuple(_place(host, 26379 if sentinel else 6379) for host in hosts.split(","))
    if len(places) > 1 and not (cluster or sentinel):
        raise ValueError("several hosts are a Cluster or sentinels; write redis+cluster:// or redis+sentinel://")
    if sentinel and not options.get("master"):
        raise ValueError("redis+sentinel:// needs the master's name; add ?master=name")
    if not sentinel and "master" in options:
        raise ValueError("?master= is for redis+sentinel://; write that or leave it away")
    tls = parts.scheme == "rediss" or _flag(options.get("tls", "0"))
    if "ca" in options and not tls:
        raise ValueError("?ca= is for TLS; add &tls=1 or leave it away")
    prefix = options.get("prefix", PREFIX)
    if not _SAFE_PREFIX(prefix):
        raise ValueError(f"?prefix= is 1 to 64 letters, digits, '_', '.' or '-', not {prefix!r}")
    return Address(
        places=places,
        cluster=cluster,
        master=options.get("master"),
        database=_database(parts, cluster=cluster),
        user=unquote(user) or None,
        password=unquote(password) or None,
        tls=tls,
        ca=options.get("ca"),
        prefix=prefix,
    )


def _options(query: str) -> dict[str, str]:
    pairs = parse_qsl(query, keep_blank_values=True)
    options = dict(pairs)
    unknown = sorted(set(options) - set(_OPTIONS))
    if unknown:
        raise ValueError(f"unknown option {unknown[0]!r}; the options are {', '.join(_OPTIONS)}")
    if len(pairs) != len(options):
        raise ValueError("an option stands there twice; keep one")
    return options


def _flag(text: str) -> bool:
    if text.lower() not in _TRUTH:
        raise ValueError(f"?tls= is 1 or 0, not {text!r}")
    return _TRUTH[text.lower()]


def _place(text: str, port: int) -> Place:
    """`host`, `host:port` or `[v6]:port`; nothing of it is repeated, since a password with an `@` or `/` ends here."""
    found = re.fullmatch(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[^\[\]:@\s]+))(?::(?P<port>\d{1,5}))?", text)
    if found is None:
        raise ValueError("the host cannot be read; write host:port, and in a password %40 for @, %2F for / and so on")
    number = int(found["port"] or port)
    if not 1 <= number <= 65535:
        raise ValueError(f"a port is 1 to 65535, not {number}")
    return Place(found["six"] or found["host"], number)


def _database(parts: SplitResult, *, cluster: bool) -> int:
    text = parts.path.strip("/")
    if not text:
        return 0
    if not (text.isascii() and text.isdigit()):
        raise ValueError("what follows the host is the number of a database, for example /0")
    if cluster and int(text):
        raise ValueError("a Cluster has only database 0; leave the number away")
    return int(text)
