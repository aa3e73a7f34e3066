"""Reads the bus URL: where Redis is, and how to connect to it.

Every error says what is wrong and what to write instead. None of them repeats the URL, because it may hold a password.
"""

import re
from dataclasses import dataclass, field
from typing import Final, NamedTuple
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

PREFIX: Final = "forestay"
"""The beginning of all keys and channels. Gateways that share a Redis need different ones."""

FORMS: Final = (
    "redis://host:6379/0, rediss://host:6379/0, redis+cluster://host:6379,host:6379 or "
    "redis+sentinel://host:26379,host:26379/0?master=name, each with user:password@ before the host where it needs one"
)

_SCHEMES: Final = ("redis", "rediss", "redis+cluster", "redis+sentinel")
_OPTIONS: Final = ("ca", "master", "prefix", "tls")
_SAFE_PREFIX = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII).fullmatch
_TRUTH: Final = {"1": True, "true": True, "0": False, "false": False}


class HostPort(NamedTuple):
    """Where one server listens, or the name under which a node is known."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Address:
    """A Redis, a Cluster, or the sentinels that know where a Redis is."""

    hosts: tuple[HostPort, ...]
    """The server, some nodes of the Cluster, or the sentinels."""
    cluster: bool = False
    master: str | None = None
    """The name of the master at the sentinels; None without sentinels."""
    database: int = 0
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: bool = False
    ca: str | None = None
    """A file with the certificate authorities to trust; None for those of the system."""
    prefix: str = PREFIX


def parse_address(url: str) -> Address:
    """The address in `url`. Raises ValueError, which says what is wrong and what to write."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError(f"not a URL; write {FORMS}") from None
    if parts.scheme not in _SCHEMES:
        raise ValueError(f"the scheme {parts.scheme!r} is unknown; write {FORMS}")
    options = _options(parts.query)
    sentinel = parts.scheme == "redis+sentinel"
    cluster = parts.scheme == "redis+cluster"
    credentials, _, host_list = parts.netloc.rpartition("@")
    user, _, password = credentials.partition(":")
    hosts = tuple(_host_port(host, 26379 if sentinel else 6379) for host in host_list.split(","))
    if len(hosts) > 1 and not (cluster or sentinel):
        raise ValueError("several hosts are a Cluster or sentinels; write redis+cluster:// or redis+sentinel://")
    if sentinel and not options.get("master"):
        raise ValueError("redis+sentinel:// needs the master's name; add ?master=name")
    if not sentinel and "master" in options:
        raise ValueError("?master= is for redis+sentinel://; write that or remove it")
    tls = parts.scheme == "rediss" or _flag(options.get("tls", "0"))
    if "ca" in options and not tls:
        raise ValueError("?ca= is for TLS; add &tls=1 or remove it")
    prefix = options.get("prefix", PREFIX)
    if not _SAFE_PREFIX(prefix):
        raise ValueError(f"?prefix= is 1 to 64 letters, digits, '_', '.' or '-', not {prefix!r}")
    return Address(
        hosts=hosts,
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
        raise ValueError("an option is given twice; keep one")
    return options


def _flag(text: str) -> bool:
    if text.lower() not in _TRUTH:
        raise ValueError(f"?tls= is 1 or 0, not {text!r}")
    return _TRUTH[text.lower()]


def _host_port(text: str, port: int) -> HostPort:
    """Read `host`, `host:port` or `[v6]:port`. Errors repeat nothing of it: it may be part of an unescaped password."""
    found = re.fullmatch(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[^\[\]:@\s]+))(?::(?P<port>\d{1,5}))?", text)
    if found is None:
        raise ValueError("the host cannot be read; write host:port, and in a password %40 for @, %2F for / and so on")
    number = int(found["port"] or port)
    if not 1 <= number <= 65535:
        raise ValueError(f"a port is 1 to 65535, not {number}")
    return HostPort(found["six"] or found["host"], number)


def _database(parts: SplitResult, *, cluster: bool) -> int:
    text = parts.path.strip("/")
    if not text:
        return 0
    if not (text.isascii() and text.isdigit()):
        raise ValueError("the path must be the number of a database, for example /0")
    if cluster and int(text):
        raise ValueError("a Cluster has only database 0; remove the number")
    return int(text)
