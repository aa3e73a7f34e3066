"""The rules for the events of an application, and its namespaces: which rooms they lead to, and which are calls.

Both come from ROOMS_FILE, as `[[events]]` and `[[namespaces]]`. This module reads the tables, not the file. They hold
for Socket.IO clients, which name no room in their events. All other clients name the room themselves.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from msgspec import Raw

from forestay.core.rules.tables import read_tables
from forestay.core.rules.templates import Template
from forestay.protocol.delivered_size import LONGEST_NAMESPACE
from forestay.protocol.events import Asking, Emission, fault_of_method, fault_of_name
from forestay.protocol.names import PERSONAL, escape, escaped, namespace_prefix, parse_room

ROOT: Final = "/"
"""The namespace that is always there."""

_RULE: Final = ("event", "room", "as", "echo", "call", "namespace")
_NAMESPACE: Final = ("path", "join")
_MOST_JOINS: Final = 100

Parsed = TypeVar("Parsed")


@dataclass(frozen=True, slots=True)
class Rule:
    """What becomes of one event: the room that it goes to, and the name under which it goes out."""

    room: Template
    sent_as: str
    echo: bool | None
    """Whether the sender gets it too; None means that the room's policy decides."""


@dataclass(frozen=True, slots=True)
class Namespace:
    """What Socket.IO clients find in one namespace."""

    path: str
    join: Sequence[str] = ()
    """The rooms that a client gets into when it connects, where it has the right: room names, and `@me`."""
    rules: Mapping[str, Rule | Asking] | None = None

    def find(self, event: str, arguments: Sequence[Raw]) -> Emission | Asking | None:
        """What becomes of `event`; None where no rule names it. Raises Refusal where its room cannot be told."""
        rule = self.rules.get(event) if self.rules else None
        if rule is None or isinstance(rule, Asking):
            return rule
        return Emission(rule.room.room(arguments), rule.sent_as, rule.echo)


class Namespaces:
    """All namespaces, by their paths."""

    def __init__(self, namespaces: Sequence[Namespace] = ()) -> None:
        self._namespaces = {ROOT: Namespace(ROOT)} | {one.path: one for one in namespaces}

    def of(self, path: str) -> Namespace | None:
        """The namespace at `path`; None where there is none, which a client is told."""
        return self._namespaces.get(path)

    @property
    def paths(self) -> Sequence[str]:
        return list(self._namespaces)


@dataclass(frozen=True, slots=True)
class _Row:
    """One `[[events]]` table."""

    event: str
    namespace: str | None
    room: str
    sent_as: str
    echo: bool | None
    method: str | None
    """Of the call that it is; None where it goes to a room."""


def parse_namespaces(events: object, namespaces: object) -> Namespaces:
    """The namespaces with their rules, from the `[[events]]` and the `[[namespaces]]` tables. Raises ValueError."""
    joins: dict[str, Sequence[str]] = {ROOT: ()}
    prefixes: dict[str, str] = {}
    for path, join in _each("namespaces", namespaces, _namespace):
        prefix = namespace_prefix(path)
        if prefix in prefixes:
            raise ValueError(f"[[namespaces]] {prefixes[prefix]!r} and {path!r} have the same rooms; leave out one")
        prefixes[prefix] = path
        joins[path] = join
    rows = _each("events", events, _row)
    for row in rows:
        if row.namespace is not None and row.namespace not in joins:
            missing = f"no [[namespaces]] table has the path {row.namespace!r}"
            raise ValueError(f"[[events]] {row.event!r}: {missing}; add one, or leave out 'namespace'")
    if len({(row.event, row.namespace) for row in rows}) < len(rows):
        twice = next(row for row in rows if sum(_same(row, other) for other in rows) > 1)
        raise ValueError(f"[[events]] {twice.event!r} is there twice; keep one, or give each its own 'namespace'")
    return Namespaces([Namespace(path, join, _rules(path, rows)) for path, join in joins.items()])


def _same(one: _Row, other: _Row) -> bool:
    return (one.event, one.namespace) == (other.event, other.namespace)


def _rules(path: str, rows: Sequence[_Row]) -> Mapping[str, Rule | Asking]:
    """The rules in the namespace `path`. A rule for this namespace alone wins."""
    prefix = escaped(namespace_prefix(path))
    # Python sorts in a stable way, and False comes first.
    holding = sorted((row for row in rows if row.namespace in (None, path)), key=lambda row: row.namespace is not None)
    return {row.event: _rule(row, prefix) for row in holding}


def _rule(row: _Row, prefix: str) -> Rule | Asking:
    return Rule(Template(row.room, prefix), row.sent_as, row.echo) if row.method is None else Asking(row.method)


def _each(name: str, tables: object, parse: Callable[[Mapping[str, object]], Parsed]) -> list[Parsed]:
    """What `parse` makes of each table. Raises ValueError that names the table."""
    found = []
    for number, table in enumerate(read_tables(name, tables), 1):
        called = table.get("event", table.get("path"))
        try:
            found.append(parse(table))
        except ValueError as error:
            raise ValueError(f"[[{name}]] {called if isinstance(called, str) else number!r}: {error}") from None
    return found


def _check_keys(table: Mapping[str, object], known: Sequence[str]) -> None:
    unknown = sorted(set(table) - set(known))
    if unknown:
        raise ValueError(f"unknown {', '.join(unknown)}; there are {', '.join(known)}")


def _row(table: Mapping[str, object]) -> _Row:
    _check_keys(table, _RULE)
    event = _event(table, "event", None)
    sent_as = _event(table, "as", event)
    room, echo, namespace = table.get("room"), table.get("echo"), table.get("namespace")
    if "call" in table:
        method = _method(table)
        room = ""
    elif isinstance(room, str):
        method = None
        # It is checked once here; the prefixes of namespaces only make it longer.
        Template(room)
    else:
        raise ValueError("'room' is missing, for example room = \"chat.{0.room}\"")
    if not (echo is None or isinstance(echo, bool)):
        raise ValueError(f"'echo' is true or false, not {echo!r}")
    if not (namespace is None or isinstance(namespace, str)):
        raise ValueError(f"'namespace' is a path, for example \"/admin\", not {namespace!r}")
    return _Row(event, namespace, room, sent_as, echo, method)


def _method(table: Mapping[str, object]) -> str:
    method = table["call"]
    if not isinstance(method, str):
        raise ValueError(
            f"'call' is the method that the application is asked, such as \"orders.create\", not {method!r}"
        )
    fault = fault_of_method(method)
    if fault is not None:
        raise ValueError(f"'call': {fault}")
    needless = [key for key in ("room", "as", "echo") if key in table]
    if needless:
        raise ValueError(f"a call goes to the application and to no room; leave out {', '.join(needless)}, or 'call'")
    return method


def _event(table: Mapping[str, object], key: str, default: str | None) -> str:
    name = table.get(key, default)
    if not isinstance(name, str):
        raise ValueError(f"'{key}' is the name of an event, for example \"chat message\", not {name!r}")
    fault = fault_of_name(name)
    if fault is not None:
        raise ValueError(f"'{key}': {fault}")
    return name


def _namespace(table: Mapping[str, object]) -> tuple[str, Sequence[str]]:
    _check_keys(table, _NAMESPACE)
    path, join = table.get("path"), table.get("join", [])
    if not isinstance(path, str) or not _is_path(path):
        raise ValueError("'path' begins with a slash and has no comma, no '?' and no empty part: path = \"/admin\"")
    prefix = escaped(namespace_prefix(path))
    if len(prefix) > LONGEST_NAMESPACE:
        raise ValueError(
            f"the names of its rooms would begin with more than {LONGEST_NAMESPACE} characters; shorten 'path'"
        )
    if not isinstance(join, list) or not all(isinstance(room, str) for room in join):
        raise ValueError("'join' is a list of rooms, for example join = [\"news\"]")
    if len(join) > _MOST_JOINS:
        raise ValueError(f"'join' has at most {_MOST_JOINS} rooms")
    return path, tuple(_joined(room, prefix) for room in join)


def _joined(room: str, prefix: str) -> str:
    if room == PERSONAL:
        return room
    if not room or parse_room(prefix + room) is None:
        meant = None if "%" in room else escape(room)
        raise ValueError(f"'join': {room!r} is no room" + (f"; write {meant}" if meant and meant != room else ""))
    return prefix + room


def _is_path(path: str) -> bool:
    """Whether `path` can name a namespace: in a packet it ends at a comma, and a client's library cuts it at a `?`."""
    if path == ROOT:
        return True
    plain = path.isprintable() and not set(path) & {",", "?"}
    return plain and path[:1] == "/" and all(path[1:].split("/"))
