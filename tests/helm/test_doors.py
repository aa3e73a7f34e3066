"""The doors beside the WebSocket: their settings, the way to Socket.IO, and what the notes say of both."""

import tomllib
from typing import Any

import pytest

from forestay.core.rules.events import parse_namespaces
from tests.support.chart import FULL, READY, SOCKETIO, chart, refusal

WEBSOCKET = {**SOCKETIO, "transports": ["websocket"]}
STICKY = {"ingress": {"annotations": {"sticky": "yes"}}}
INGRESS = {"enabled": True, "annotations": {"timeout": "1"}, "hosts": [{"host": "a.example"}, {"host": "b.example"}]}


def test_streams_are_on_and_socketio_is_off() -> None:
    """By default the gateway serves streams and no Socket.IO, and the notes name the path of streams only."""
    rendered = chart(READY)
    assert rendered.environment["FORESTAY_STREAM"] == "true"
    assert rendered.environment["FORESTAY_SOCKETIO"] == "false"
    assert "path /stream\n" in rendered.notes
    assert "Socket.IO" not in rendered.notes
    assert chart(READY, stream={"enabled": False}).environment["FORESTAY_STREAM"] == "false"
    assert "/stream" not in chart(READY, stream={"enabled": False}).notes


def test_values_become_settings() -> None:
    """Transports and path of Socket.IO reach the gateway; its other settings are passed through."""
    others = {"FORESTAY_SOCKETIO_PING_TIMEOUT": 30, "FORESTAY_SOCKETIO_CLIENT": "/files/socket.io.js"}
    values = {**SOCKETIO, "transports": ["polling", "websocket"], "path": "/chat/io/"}
    environment = chart(READY, socketio=values, settings=others).environment
    assert environment["FORESTAY_SOCKETIO"] == "true"
    assert environment["FORESTAY_SOCKETIO_TRANSPORTS"] == "polling websocket"
    assert environment["FORESTAY_SOCKETIO_PATH"] == "/chat/io/"
    assert environment["FORESTAY_SOCKETIO_PING_TIMEOUT"] == "30"
    assert environment["FORESTAY_SOCKETIO_CLIENT"] == "/files/socket.io.js"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"transports": []}, "transports"),
        ({"transports": ["webtransport"]}, "transports"),
        ({"path": "socket.io"}, "path"),
        ({"path": "/socket.io"}, "path"),
        ({"events": [{"event": "a"}]}, "room"),
        ({"events": [{"event": "a", "room": "b", "to": "c"}]}, "to"),
        ({"namespaces": [{"path": "news"}]}, "path"),
    ],
)
def test_values_that_cannot_be_are_refused(value: dict[str, Any], words: str) -> None:
    """A transport that does not exist, a path without its slashes and an incomplete rule render nothing."""
    assert words in refusal(READY, socketio={**SOCKETIO, **value})


@pytest.mark.parametrize(
    "rooms", [FULL["rooms"], '[[rooms]]\npattern = "chat.*"\n[rooms.history]\nsize = 1\nttl = 2\n']
)
def test_rules_stand_in_the_file_of_rooms(rooms: object) -> None:
    """Rules of events and namespaces are in the file with the rooms, a list or a text; a change moves the pods."""
    rendered = chart(READY, rooms=rooms, socketio=SOCKETIO)
    file = tomllib.loads(rendered.one("ConfigMap", "-rooms")["data"]["rooms.toml"])
    assert file["events"] == SOCKETIO["events"]
    assert file["namespaces"] == SOCKETIO["namespaces"]
    assert parse_namespaces(file["events"], file["namespaces"]).paths == ["/", "/news", "/admin"]
    assert file["rooms"][0]["pattern"] == "chat.*"
    assert rendered.environment["FORESTAY_ROOMS_FILE"] == "/etc/forestay/rooms/rooms.toml"
    annotations = [
        chart(READY, rooms=rooms, socketio={**SOCKETIO, "enabled": on}).one("Deployment")["spec"]["template"][
            "metadata"
        ]
        for on in (True, False)
    ]
    assert annotations[0]["annotations"]["checksum/rooms"] != annotations[1]["annotations"]["checksum/rooms"]


def test_rules_need_no_rooms() -> None:
    """Rules alone make the file. Without Socket.IO they make none."""
    assert chart(READY, socketio=SOCKETIO).one("ConfigMap", "-rooms")
    assert chart(READY, socketio={**SOCKETIO, "enabled": False}).all("ConfigMap") == []


def test_polling_has_a_way_of_its_own() -> None:
    """The path of Socket.IO leads to a Service of its own, to which sticky sessions can be limited."""
    rendered = chart(FULL, socketio=SOCKETIO, ingress=INGRESS)
    service = rendered.one("Service", "-socketio")
    assert service["metadata"]["annotations"] == {"cookie": "yes"}
    assert service["spec"]["selector"] == rendered.one("Service")["spec"]["selector"]
    assert service["spec"]["type"] == "ClusterIP"
    first, second = rendered.one("HTTPRoute")["spec"]["rules"]
    assert first["matches"] == [{"path": {"type": "PathPrefix", "value": "/socket.io/"}}]
    assert first["backendRefs"] == [{"name": "forestay-socketio", "port": 8080}]
    assert first["sessionPersistence"] == {"sessionName": "forestay", "type": "Cookie"}
    assert second["backendRefs"] == [{"name": "forestay", "port": 8080}]
    assert "sessionPersistence" not in second
    assert _ways(rendered.one("Ingress")) == [
        (host, path, service)
        for host in ("a.example", "b.example")
        for path, service in (("/socket.io/", "forestay-socketio"), ("/", "forestay"))
    ]


def test_what_sticks_can_have_an_ingress_of_its_own() -> None:
    """With annotations for the path it gets an Ingress of its own, so that they hold for nothing else."""
    prefixed = {"FORESTAY_PATH_PREFIX": "/apps/"}
    rendered = chart(READY, socketio={**SOCKETIO, **STICKY}, ingress=INGRESS, settings=prefixed)
    assert _ways(rendered.one("Ingress")) == [("a.example", "/", "forestay"), ("b.example", "/", "forestay")]
    assert rendered.one("Ingress")["metadata"]["annotations"] == {"timeout": "1"}
    own = rendered.one("Ingress", "-socketio")
    assert [way[1:] for way in _ways(own)] == [("/apps/socket.io/", "forestay-socketio")] * 2
    assert own["metadata"]["annotations"] == {"timeout": "1", "sticky": "yes"}


def test_websocket_alone_needs_no_way_of_its_own() -> None:
    """Without polling there is nothing to stick: no other Service, no other route, and no word in the notes."""
    rendered = chart(FULL, socketio={**WEBSOCKET, **STICKY})
    assert [each["metadata"]["name"] for each in rendered.all("Ingress")] == ["forestay"]
    assert len(rendered.one("HTTPRoute")["spec"]["rules"]) == 1
    assert "forestay-socketio" not in [each["metadata"]["name"] for each in rendered.all("Service")]
    assert "path /socket.io/, by websocket\n" in rendered.notes
    assert "same pod" not in rendered.notes


@pytest.mark.parametrize(("kind", "expected"), [("LoadBalancer", "ClusterIP"), ("NodePort", "NodePort")])
def test_the_service_of_polling_is_no_second_load_balancer(kind: str, expected: str) -> None:
    """It follows the public Service onto the nodes, but not to a cloud, and takes no port of its own there."""
    rendered = chart(READY, socketio=SOCKETIO, service={"type": kind, "nodePort": 30080, "annotations": {"a": "b"}})
    service = rendered.one("Service", "-socketio")
    assert service["spec"]["type"] == expected
    assert "nodePort" not in service["spec"]["ports"][0]
    assert service["metadata"]["annotations"] == {"a": "b", "cookie": "yes"}


def test_the_notes_say_that_polling_needs_sticky_routing() -> None:
    """With several pods the notes name the Service that sticks, and how to do without. A single pod needs neither."""
    notes = chart(READY, socketio=SOCKETIO).notes
    assert "all requests of one client to reach the same pod" in notes
    assert "forestay-socketio" in notes
    assert 'transports: ["websocket"]' in notes
    assert "same pod" not in chart(READY, socketio=SOCKETIO, replicaCount=1).notes


def _ways(ingress: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [
        (rule["host"], path["path"], path["backend"]["service"]["name"])
        for rule in ingress["spec"]["rules"]
        for path in rule["http"]["paths"]
    ]
