"""Describes the single requests of clients, for the fuzzer: as the API for backends, from which most of it is taken."""

from copy import deepcopy
from typing import Any, Final

from docs.openapi import document
from forestay.protocol.events import SPOKEN

_SHARED: Final = {
    "/rooms/{room}/messages": ("/v1/rooms/{room}/messages", "post"),
    "/rooms/{room}/history": ("/v1/rooms/{room}/history", "get"),
    "/rooms/{room}/presence": ("/v1/rooms/{room}/presence", "get"),
}
"""Paths of clients, and the operation for backends that is the same."""

_MORE: Final = {
    "echo": {"type": ["boolean", "null"]},
    "connection": {"type": ["string", "null"], "minLength": 1, "maxLength": 64},
}
"""What a message of a client has besides."""

_REFUSALS: Final = {
    "400": "BadRequest",
    "401": "BadKey",
    "403": "Forbidden",
    "408": "TooSlow",
    "413": "TooLarge",
    "429": "Unavailable",
    "503": "Unavailable",
    "504": "OutcomeUnknown",
}

_CALL: Final[dict[str, Any]] = {
    "operationId": "call",
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["method"],
                    "properties": {"method": {"$ref": "#/components/schemas/Method"}, "payload": {}},
                },
                "examples": {
                    method: {"value": {"method": method, "payload": {"order": 7}}}
                    for method in ("echo", "whoami", "orders.create", "buy")
                },
            }
        },
    },
}

_TICKET: Final[dict[str, Any]] = {"operationId": "issueTicket"}


def clients() -> dict[str, Any]:
    """The description of the paths on the public port that clients use without a connection."""
    found = document()
    backends = found["paths"]
    found["paths"] = {
        path: {"parameters": backends[same]["parameters"], method: deepcopy(backends[same][method])}
        for path, (same, method) in _SHARED.items()
    }
    for item in found["paths"].values():
        for method in {"get", "post"} & set(item):
            item[method]["responses"]["429"] = {"$ref": "#/components/responses/Unavailable"}
            item[method].pop("links", None)
    for kind in found["components"]["schemas"]["Message"]["oneOf"]:
        kind["properties"] |= _MORE
    # Positions need an epoch here, which a description cannot say.
    history = found["paths"]["/rooms/{room}/history"]["get"]
    history["parameters"] = [{"$ref": "#/components/parameters/Limit"}]
    own = {"name": "connection", "in": "query", "schema": {"type": "string"}}
    found["paths"]["/rooms/{room}/messages"]["post"]["parameters"].append(own)
    found["components"]["schemas"]["ErrorCode"]["enum"] += ["rate_limited", "refused_by_application"]
    event = found["components"]["schemas"]["Event"]
    event["not"]["enum"] += sorted(SPOKEN)
    lengths = {key: event[key] for key in ("type", "minLength", "maxLength")}
    found["components"]["schemas"]["Method"] = lengths | {"pattern": r"^[^\u0000-\u001f\u007f-\u009f]+$"}
    found["paths"]["/calls"] = {"post": _CALL | _responses("200", {"payload": {}})}
    ticket = {"ticket": {"type": "string"}, "expires_in": {"type": "integer", "minimum": 1}}
    found["paths"]["/tickets"] = {"post": _TICKET | _responses("201", ticket)}
    return found


def _responses(status: str, fields: dict[str, Any]) -> dict[str, Any]:
    schema = {"type": "object", "required": list(fields), "properties": fields}
    good = {"description": "Done", "content": {"application/json": {"schema": schema}}}
    refusals = {number: {"$ref": f"#/components/responses/{name}"} for number, name in _REFUSALS.items()}
    return {"responses": {status: good} | refusals}
