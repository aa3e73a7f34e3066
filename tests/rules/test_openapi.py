"""The description of the HTTP API is true: it has each path, method and code of the gateway, and no other."""

from typing import Any

from docs.openapi import SERVED, document, text
from forestay import __version__
from forestay.core.ports.observer import Observer
from forestay.edge.api.api import Api, Core
from forestay.edge.api.handler import BodyLimits
from forestay.edge.api.keys import ApiKeys
from forestay.edge.problems import STATUS
from forestay.protocol.codes import ErrorCode

NOT_FOR_BACKENDS = {ErrorCode.UNKNOWN_TYPE, ErrorCode.RATE_LIMITED, ErrorCode.REFUSED_BY_APPLICATION}
"""Codes that only clients get over HTTP."""


def operations() -> dict[tuple[str, str], dict[str, Any]]:
    """The operations of the document, by path and method."""
    methods = {"get", "put", "post", "delete", "patch", "head", "options", "trace"}
    return {
        (path, method.upper()): operation
        for path, item in document()["paths"].items()
        for method, operation in item.items()
        if method in methods
    }


def test_the_document_has_each_path_and_method() -> None:
    """And no other."""
    api = Api(Core(None, None, None), ApiKeys([], None, Observer()), BodyLimits(1, 1), Observer(), None)  # type: ignore[arg-type]
    served = {(path, method) for path, methods in api.paths.items() for method in methods}
    assert set(operations()) == served


def test_the_document_has_each_code() -> None:
    """Those that HTTP answers have, and what the results of a batch and of placing have besides."""
    listed = document()["components"]["schemas"]["ErrorCode"]["enum"]
    assert set(listed) == set(STATUS) - NOT_FOR_BACKENDS | {ErrorCode.TOO_MANY_ROOMS}
    assert len(listed) == len(set(listed))


def test_each_operation_has_the_statuses_of_refusals() -> None:
    """Each can lack a key; each with a body can be too large or too late; a publish can be refused by the bus."""
    for (path, method), operation in operations().items():
        statuses = set(operation["responses"])
        assert {"200", "401"} <= statuses
        assert not {each for each in statuses if each != "408" and int(each) not in {200, 202, *STATUS.values()}}
        if "requestBody" in operation:
            assert {"400", "408", "413"} <= statuses, (path, method)
        if operation["operationId"] in ("publishToRoom", "publishToUser"):
            assert {"409", "503", "504"} <= statuses


def test_each_operation_has_a_name_of_its_own() -> None:
    """Generators make functions of them."""
    names = [operation["operationId"] for operation in operations().values()]
    assert len(names) == len(set(names))


def test_the_document_has_this_version() -> None:
    """That of the package."""
    assert document()["info"]["version"] == __version__


def test_what_is_served_is_what_is_written() -> None:
    """The JSON in the package is as `make descriptions` writes it."""
    assert SERVED.read_text(encoding="utf-8") == text()
