"""Reads the bus URL: where Redis is, and how to connect to it.

Every error says what is wrong and what to write instead. None of them repeats the URL, because it may hold a password.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

PREFIX: Final = "forestay"
"""The beginning of all keys and channels. Gateways that share a Redis need different ones."""

FORMS: Final = (
    "redis://host:6379/0, rediss://host:6379/0, unix:///path/of/the/socket?db=0, redis+cluster://host:6379,host:6379 "
    "or redis+sentinel://host:26379,host:26379/0?master=name, each with user:password@ before the host where it needs "
    "one"
)

_SCHEMES: Final = ("redis", "rediss", "redis+cluster", "redis+sentinel", "unix")
_OPTIONS: Final = ("ca", "cert", "db", "key", "map", "master", "prefix", "tls")
# The options that name files, all for TLS.
_FILES: Final = ("ca", "cert", "key")
# Errors about a URL repeat none of its text: where a password is not escaped, any part may be a piece of it.
_ESCAPE: Final = "in a password write %40 for @, %2F for /, %3A for :, %3F for ?, %23 for # and %25 for %"
_SAFE_PREFIX = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII).fullmatch
_TRUTH: Final = {"1": True, "true": True, "0": False, "false": False}


class HostPort(NamedTuple):
    """Where one server listens, or the name under which a node is known."""

    host: str
    """A name, an address, or the path of a Unix socket, which begins with a slash."""
    port: int

    def __str__(self) -> str:
        if self.host.startswith("/"):
            return self.host
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
    cert: str | None = None
    """A file with our certificate, for a server that asks for one (mutual TLS)."""
    key: str | None = None
    """A file with the key of `cert`; None where that is in the same file."""
    prefix: str = PREFIX
    nat: tuple[tuple[HostPort, HostPort], ...] = ()
    """For servers behind NAT: what they announce, and where we reach it."""

    def reachable(self, announced: HostPort) -> HostPort:
        """Where we reach a server that a Cluster or a sentinel announces."""
        return dict(self.nat).get(announced, announced)


def parse_address(url: str) -> Address:
    """The address in `url`. Raises ValueError, which says what is wrong and what to write."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError(f"not a URL; write {FORMS}") from None
    if parts.scheme not in _SCHEMES:
        raise ValueError(f"the scheme is unknown; write {FORMS}")
    if parts.fragment:
        raise ValueError(f"a # ends the URL; {_ESCAPE}")
    options = _options(parts.query)
    credentials, _, host_list = parts.netloc.rpartition("@")
    user, _, password = credentials.partition(":")
    sentinel = parts.scheme == "redis+sentinel"
    if sentinel and not options.get("master"):
        raise ValueError("redis+sentinel:// needs the master's name; add ?master=name")
    if not sentinel and "master" in options:
        raise ValueError("?master= is for redis+sentinel://; write that or remove it")
    tls = _tls(parts.scheme, options)
    prefix = options.get("prefix", PREFIX)
    if not _SAFE_PREFIX(prefix):
        raise ValueError("?prefix= is 1 to 64 letters, digits, '_', '.' or '-'")
    return Address(
        hosts=_hosts(parts, host_list),
        cluster=parts.scheme == "redis+cluster",
        master=options.get("master"),
        database=_database(parts, options),
        user=unquote(user) or None,
        password=unquote(password) or None,
        tls=tls,
        ca=options.get("ca"),
        cert=options.get("cert"),
        key=options.get("key"),
        prefix=prefix,
        nat=_nat(parts.scheme, options.get("map")),
    )


def _options(query: str) -> dict[str, str]:
    pairs = parse_qsl(query, keep_blank_values=True)
    options = dict(pairs)
    if set(options) - set(_OPTIONS):
        raise ValueError(f"an option is unknown; the options are {', '.join(_OPTIONS)}; {_ESCAPE}")
    if len(pairs) != len(options):
        raise ValueError("an option is given twice; keep one")
    return options


def _tls(scheme: str, options: Mapping[str, str]) -> bool:
    tls = scheme == "rediss" or _flag(options.get("tls", "0"))
    if tls and scheme == "unix":
        raise ValueError("a Unix socket has no TLS; remove ?tls=")
    for option in _FILES:
        if option in options and not tls:
            raise ValueError(f"?{option}= is for TLS; add &tls=1 or remove it")
    if "key" in options and "cert" not in options:
        raise ValueError("?key= is the key of a certificate; add &cert=")
    return tls


def _hosts(parts: SplitResult, host_list: str) -> tuple[HostPort, ...]:
    if parts.scheme == "unix":
        if host_list or len(parts.path) < 2:
            raise ValueError("a Unix socket is written as unix:///path, with user:password@ before the path if needed")
        return (HostPort(unquote(parts.path), 0),)
    sentinel = parts.scheme == "redis+sentinel"
    hosts = tuple(_host_port(host, 26379 if sentinel else 6379) for host in host_list.split(","))
    if len(hosts) > 1 and parts.scheme in ("redis", "rediss"):
        raise ValueError("several hosts are a Cluster or sentinels; write redis+cluster:// or redis+sentinel://")
    return hosts


def _nat(scheme: str, text: str | None) -> tuple[tuple[HostPort, HostPort], ...]:
    """Read `announced->reachable`, several separated by commas."""
    if text is None:
        return ()
    if scheme not in ("redis+cluster", "redis+sentinel"):
        raise ValueError("?map= is for servers that a Cluster or sentinels announce; remove it")
    pairs: list[tuple[HostPort, HostPort]] = []
    for piece in text.split(","):
        announced, arrow, reachable = piece.partition("->")
        if not arrow:
            raise ValueError("?map= is announced:port->reachable:port, several separated by commas")
        pairs.append((_host_port(announced, 6379), _host_port(reachable, 6379)))
    return tuple(pairs)


def _flag(text: str) -> bool:
    if text.lower() not in _TRUTH:
        raise ValueError(f"?tls= is 1 or 0; {_ESCAPE}")
    return _TRUTH[text.lower()]


def _host_port(text: str, port: int) -> HostPort:
    """Read `host`, `host:port` or `[v6]:port`. Errors repeat nothing of it: it may be part of an unescaped password."""
    found = re.fullmatch(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[^\[\]:@\s]+))(?::(?P<port>\d{1,5}))?", text)
    if found is None:
        raise ValueError(f"the host cannot be read; write host:port; {_ESCAPE}")
    number = int(found["port"] or port)
    if not 1 <= number <= 65535:
        raise ValueError(f"a port is 1 to 65535; write host:port; {_ESCAPE}")
    return HostPort(found["six"] or found["host"], number)


def _database(parts: SplitResult, options: Mapping[str, str]) -> int:
    local = parts.scheme == "unix"
    if "db" in options and not local:
        raise ValueError("?db= is for unix://; write the number of the database after the host, for example /0")
    text = options.get("db", "") if local else parts.path.strip("/")
    if not text:
        return 0
    if not (text.isascii() and text.isdigit()):
        how = "?db= must be a number" if local else "the path must be the number of a database, for example /0"
        raise ValueError(f"{how}; {_ESCAPE}")
    if parts.scheme == "redis+cluster" and int(text):
        raise ValueError("a Cluster has only database 0; remove the number")
    return int(text)
