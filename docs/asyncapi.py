"""Writes the description of protocol version 1 in AsyncAPI 3.0: docs/asyncapi.yaml, and the JSON that is served.

The schemas come from the message types. What a client says is what `protocol/requests` reads, so a new request is in
the document by itself. What the gateway says has a form in `message_forms` for each reply in `protocol/replies`.
"""

import ast
import inspect
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, get_args

import msgspec
import yaml
from msgspec import Raw, Struct

from docs.message_forms import FORMS, NEWS, STREAMED, CloseText
from forestay import __version__
from forestay.protocol.names import PROTOCOL
from forestay.protocol.requests import JsonRequest, RoomToJoin

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = ROOT / "docs" / "asyncapi.yaml"
SERVED: Final = ROOT / "app" / "forestay" / "edge" / "api" / "asyncapi.json"

ANSWERS: Final[Mapping[str, str | None]] = {
    "join": "joined",
    "leave": "left",
    "broadcast": "ack",
    "ping": "pong",
    "pong": None,
    "bind": "ack",
    "auth": "ack",
    "presence": "presence",
    "history": "history",
    "call": "result",
}
"""What answers each request that is not refused. A refusal is an `error`."""

_SCHEMA: Final = "#/components/schemas/{name}"
_CHANNEL: Final = "#/channels/connection"
_STREAM: Final = {
    "action": "send",
    "channel": {"$ref": "#/channels/stream"},
    "bindings": {
        "http": {
            "method": "GET",
            "query": {
                "type": "object",
                "required": ["room"],
                "properties": {
                    "room": {"type": "array", "items": {"type": "string"}, "minItems": 1},
                    "lastEventId": {"type": "string", "description": "Where the header cannot be set"},
                },
            },
            "bindingVersion": "0.3.0",
        }
    },
}
_BINARY: Final = (
    "A type, a big-endian `uint32`, and any bytes behind it. It goes to the room that is bound to the type."
)


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]
    def ignore_aliases(self, data: object) -> bool:
        """Write what stands twice twice."""
        return True


def document() -> dict[str, Any]:
    """The description."""
    requests: Sequence[type[Struct]] = get_args(JsonRequest)
    sent: Sequence[type[Struct]] = [*FORMS.values(), *NEWS.values(), CloseText]
    schemas = {**_schemas(requests, client=True), **_schemas(sent, client=False)}
    for reply, form in FORMS.items():
        schemas[form.__name__]["description"] = _one_line(reply.__doc__ or "")
    said = {_tag(one): f"{one.__name__}Request" for one in requests}
    heard = {_tag(one): one.__name__ for one in sent}
    messages = {
        **{f"client-{tag}": _message(tag, name, schemas[name]) for tag, name in said.items()},
        "client-binary": _binary(),
        **{tag: _message(tag, name, schemas[name]) for tag, name in heard.items()},
        "binary": _binary(),
    }
    security = [{"$ref": f"#/components/securitySchemes/{name}"} for name in ("token", "query", "ticket")]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Forestay",
            "version": __version__,
            "description": (
                f"The protocol of clients, `{PROTOCOL}`: JSON and binary messages over WebSocket. Event streams have "
                "the same JSON as their data. `docs/protocol.md` tells all of it as prose. A client ignores each type "
                "and each field that it does not know."
            ),
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "gateway": {
                "host": "127.0.0.1:8080",
                "protocol": "ws",
                "description": "The public port of a gateway on this machine",
                "security": security,
            },
            "streams": {
                "host": "127.0.0.1:8080",
                "protocol": "http",
                "description": "The same port, for event streams",
                "security": security,
            },
        },
        "channels": {
            "connection": {
                "address": "/ws",
                "title": "One connection of one user",
                "description": f"A WebSocket with the subprotocol `{PROTOCOL}`. `welcome` comes first, once.",
                "servers": [{"$ref": "#/servers/gateway"}],
                "messages": {name: _component(name) for name in messages if name != _tag(CloseText)},
                "bindings": {"ws": {"method": "GET", "bindingVersion": "0.1.0"}},
            },
            "stream": {
                "address": "/stream",
                "title": "An event stream of some rooms",
                "description": "Server-sent events, with one message as the `data` of each.",
                "servers": [{"$ref": "#/servers/streams"}],
                "messages": {_tag(one): _component(_tag(one)) for one in STREAMED},
            },
        },
        "operations": {**_received(said), **_sent([tag for tag in heard if tag != _tag(CloseText)]), "stream": _STREAM},
        "components": {
            "messages": messages,
            "schemas": schemas,
            "correlationIds": {
                "id": {"description": "Each answer repeats the `id` of its request", "location": "$message.payload#/id"}
            },
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "query": {"type": "httpApiKey", "in": "query", "name": "access_token"},
                "ticket": {
                    "type": "httpApiKey",
                    "in": "query",
                    "name": "ticket",
                    "description": "A ticket of `POST /tickets`, for those that cannot send headers",
                },
            },
        },
    }


def page() -> str:
    """The description as the page has it."""
    head = "# Written by `make descriptions` from the message types: change those, or docs/asyncapi.py.\n"
    body: str = yaml.dump(document(), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
    return head + body


def text() -> str:
    """The same as JSON, for a gateway that has no writer of YAML."""
    return json.dumps(document(), ensure_ascii=False, separators=(",", ":")) + "\n"


def _received(said: Mapping[str, str]) -> dict[str, Any]:
    """What the gateway takes, and what it answers."""
    operations: dict[str, Any] = {}
    for tag in said:
        answers = [*([ANSWERS[tag]] if ANSWERS[tag] else []), "error"]
        operations[f"take-{tag}"] = {
            "action": "receive",
            "channel": {"$ref": _CHANNEL},
            "messages": [_of_channel(f"client-{tag}")],
            "reply": {"channel": {"$ref": _CHANNEL}, "messages": [_of_channel(str(answer)) for answer in answers]},
        }
    operations["take-binary"] = {
        "action": "receive",
        "channel": {"$ref": _CHANNEL},
        "messages": [_of_channel("client-binary")],
    }
    return operations


def _sent(heard: Iterable[str]) -> dict[str, Any]:
    """What the gateway sends."""
    return {
        f"send-{tag}": {"action": "send", "channel": {"$ref": _CHANNEL}, "messages": [_of_channel(tag)]}
        for tag in [*heard, "binary"]
    }


def _component(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/messages/{name}"}


def _of_channel(name: str) -> dict[str, str]:
    return {"$ref": f"{_CHANNEL}/messages/{name}"}


def _message(tag: str, schema: str, of: Mapping[str, Any]) -> dict[str, Any]:
    message: dict[str, Any] = {"name": tag, "payload": {"$ref": _SCHEMA.format(name=schema)}}
    if "description" in of:
        message["summary"] = of["description"]
    if "id" in of["properties"]:
        message["correlationId"] = {"$ref": "#/components/correlationIds/id"}
    return message


def _binary() -> dict[str, Any]:
    return {
        "name": "binary",
        "summary": _BINARY,
        "contentType": "application/octet-stream",
        "payload": {"type": "string", "format": "binary", "minLength": 4},
    }


def _tag(of: type) -> str:
    return str(of.__struct_config__.tag)  # type: ignore[attr-defined]


def _schemas(types: Iterable[type[Struct]], *, client: bool) -> dict[str, Any]:
    """The schemas of these types and of all in them, by name.

    `client`: of what clients say. `null` is there the same as a missing field; the gateway never sends it.
    """
    names = {one.__name__: f"{one.__name__}Request" for one in types} if client else {}
    _, components = msgspec.json.schema_components([_plain(one) for one in types], ref_template=_SCHEMA)
    known = {found.__name__: found for found in _structs(types)}
    schemas = {}
    for name, schema in components.items():
        if name in known:
            _describe(schema, known[name])
        schemas[names.get(name, name)] = schema if client else _without_null(schema)
    if client:
        _, more = msgspec.json.schema_components([RoomToJoin], ref_template=_SCHEMA)
        schemas |= more
        schemas["JoinRequest"] = _either_join(schemas["JoinRequest"])
    return schemas


def _plain(of: type[Struct]) -> type[Struct]:
    """`of` without Raw as the default of a field: msgspec makes no schema of one."""
    fields = msgspec.structs.fields(of)
    if not any(isinstance(field.default, Raw) for field in fields):
        return of
    config, found = of.__struct_config__, []
    for field in fields:
        default = msgspec.json.decode(field.default) if isinstance(field.default, Raw) else field.default
        found.append((field.name, field.type, msgspec.field(default=default, name=field.encode_name)))
    tag_field, tag, namespace = config.tag_field, config.tag, {"__doc__": of.__doc__}
    plain: type[Struct] = msgspec.defstruct(
        of.__name__, found, kw_only=True, tag_field=tag_field, tag=tag, namespace=namespace
    )
    return plain


def _either_join(one: dict[str, Any]) -> dict[str, Any]:
    """A `join` of one room, or of a list: `Reader` reads that room by room, so no type has it."""
    shared = {name: one["properties"].pop(name) for name in ("type", "id")}
    rooms = {"type": "array", "minItems": 1, "items": {"$ref": _SCHEMA.format(name="RoomToJoin")}}
    several = {"rooms": rooms, "room": {"type": "null"}, "since": {"type": "null"}}
    return {
        "title": "Join",
        "description": one["description"],
        "type": "object",
        "properties": shared,
        "required": ["type"],
        "oneOf": [
            {"title": "One room", "properties": one["properties"], "required": ["room"]},
            {"title": "Several rooms", "properties": several, "required": ["rooms"]},
        ],
    }


def _without_null(schema: Any) -> Any:  # noqa: ANN401 - JSON of any form
    """`schema` without the alternative `null` and the default of it, all the way down."""
    if isinstance(schema, list):
        return [_without_null(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: _without_null(value) for name, value in schema.items() if (name, value) != ("default", None)}
    some = [one for one in found.get("anyOf", []) if one != {"type": "null"}]
    if "anyOf" in found and len(some) == 1:
        del found["anyOf"]
        found |= some[0]
    return found


def _structs(types: Iterable[Any]) -> Iterator[type]:
    """These types, and those in their fields."""
    left, seen = list(types), set()
    while left:
        one = left.pop()
        if isinstance(one, type) and issubclass(one, Struct) and one not in seen:
            seen.add(one)
            yield one
            left += [field.type for field in msgspec.structs.fields(one)]
        else:
            left += get_args(one)


def _describe(schema: dict[str, Any], of: type) -> None:
    """Give `schema` the first lines of the docstrings of its type and of its fields."""
    if "description" in schema:
        schema["description"] = _one_line(schema["description"])
    for base in of.__mro__:
        if not issubclass(base, Struct) or base is Struct:
            continue
        body = [node for found in ast.parse(inspect.getsource(base)).body for node in ast.iter_child_nodes(found)]
        for field, after in pairwise(body):
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(field.target, ast.Name)
                and isinstance(after, ast.Expr)
                and isinstance(after.value, ast.Constant)
                and field.target.id in schema["properties"]
            ):
                schema["properties"][field.target.id].setdefault("description", _one_line(str(after.value.value)))


def _one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text.strip()).replace("None", "null")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    SERVED.write_text(text(), encoding="utf-8")
