"""Judges messages of protocol version 1 by docs/asyncapi.yaml."""

from functools import cache
from typing import Any

import jsonschema

from docs.asyncapi import document


def faults(name: str, message: object, *, closed: bool = True) -> list[str]:
    """What is wrong with `message` by the description of the message called `name`.

    `closed`: a field that is not described is wrong.
    """
    return [f"{fault.json_path}: {fault.message}" for fault in _judge(name, closed=closed).iter_errors(message)]


@cache
def _judge(name: str, *, closed: bool) -> jsonschema.Draft7Validator:
    components = document()["components"]
    schemas = (
        {name: _closed(schema) for name, schema in components["schemas"].items()} if closed else components["schemas"]
    )
    return jsonschema.Draft7Validator({**components["messages"][name]["payload"], "components": {"schemas": schemas}})


def _closed(schema: Any) -> Any:
    """`schema`, in which an object has no fields but those that are named. One of several forms stays as it is."""
    if isinstance(schema, list):
        return [_closed(one) for one in schema]
    if not isinstance(schema, dict) or "oneOf" in schema:
        return schema
    found = {key: _closed(value) for key, value in schema.items()}
    return (
        found | {"additionalProperties": False} if "properties" in schema and schema.get("type") == "object" else found
    )
