"""The packets of Socket.IO clients are read strictly: each text is a packet, a refusal, or breaks the form."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestay.protocol.codes import ErrorCode
from forestay.protocol.socketio.packets import (
    MAX_ATTACHMENTS,
    MAX_NAMESPACE,
    Ack,
    Connect,
    Decoder,
    Disconnect,
    Event,
    Malformed,
    Packet,
    RefusedEvent,
)

LARGEST = 1000

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(codec="utf-8"), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3)
    ),
    max_leaves=8,
)
namespaces = st.just("/") | st.text(st.characters(codec="utf-8", exclude_characters=","), max_size=20).map("/{}".format)


def decoder() -> Decoder:
    return Decoder(LARGEST, max_depth=32)


def read(*messages: str | bytes) -> Packet | None:
    """What the last of the messages gives; the others must give nothing."""
    reading = decoder()
    found = None
    for message in messages:
        assert found is None
        found = reading.text(message) if isinstance(message, str) else reading.binary(message)
    return found


def values(event: Packet | None) -> list[Any]:
    assert isinstance(event, Event)
    return [event.name, *(json.loads(bytes(each)) for each in event.arguments)]


@given(namespaces, st.none() | st.integers(0, 2**53), st.text(st.characters(codec="utf-8")), st.lists(json_values))
def test_an_event_is_read_as_it_was_written(namespace: str, id: int | None, name: str, arguments: list[Any]) -> None:
    """Namespace, ack id, name and arguments come out as a stock client put them in."""
    where = "" if namespace == "/" else f"{namespace},"
    event = read(f"2{where}{'' if id is None else id}{json.dumps([name, *arguments])}")
    assert values(event) == [name, *arguments]
    assert isinstance(event, Event)
    assert (event.namespace, event.id, event.attachments) == (namespace, None if id is None else str(id), [])


@given(namespaces, st.none() | st.integers(0, 999), st.lists(st.binary(max_size=20), min_size=1, max_size=10))
def test_an_event_waits_for_its_binary_parts(namespace: str, id: int | None, parts: list[bytes]) -> None:
    """It is complete with its last part, and has all of them in their order."""
    where = "" if namespace == "/" else f"{namespace},"
    text = f'5{len(parts)}-{where}{"" if id is None else id}["x",{{"_placeholder":true,"num":0}}]'
    event = read(text, *parts)
    assert isinstance(event, Event)
    assert (event.namespace, event.id, event.attachments) == (namespace, None if id is None else str(id), parts)
    assert event.size > sum(map(len, parts))


@given(st.text() | st.text(alphabet='0123456/,-[]{}":ab \\', max_size=60) | st.binary(max_size=20))
def test_any_text_is_a_packet_or_malformed(message: str | bytes) -> None:
    """No text and no bytes raise anything but Malformed."""
    reading = decoder()
    for _ in range(2):
        try:
            packet = reading.text(message) if isinstance(message, str) else reading.binary(message)
        except Malformed as malformed:
            assert str(malformed)
        else:
            assert packet is None or isinstance(packet, Connect | Disconnect | Event | Ack | RefusedEvent)


@pytest.mark.parametrize(
    ("text", "namespace", "auth"),
    [
        ("0", "/", {}),
        ("0/", "/", {}),
        ("0/admin", "/admin", {}),
        ("0/admin,", "/admin", {}),
        ('0{"token":"t"}', "/", {"token": "t"}),
        ('0/a/b,{"token":"t","pid":1}', "/a/b", {"token": "t", "pid": 1}),
    ],
)
def test_a_connect_has_its_namespace_and_its_auth_object(text: str, namespace: str, auth: dict[str, Any]) -> None:
    """CONNECT names the namespace, with or without a comma, and may bring an object."""
    packet = read(text)
    assert isinstance(packet, Connect)
    assert packet.namespace == namespace
    assert {name: json.loads(bytes(value)) for name, value in packet.auth.items()} == auth


def test_disconnect_and_ack_are_read() -> None:
    """DISCONNECT and ACK name their namespace; the arguments of an ACK are dropped, binary ones too."""
    assert read("1") == Disconnect("/")
    assert read("1/admin,") == Disconnect("/admin")
    assert read('3/admin,7["x"]') == Ack("/admin", 14)
    assert read('61-7[{"_placeholder":true,"num":0}]', b"\x00") == Ack("/", 32)


@pytest.mark.parametrize(
    "text",
    [
        *("", "abc", "7", "-1", " 2[]", "４[]"),
        *("2", "2{}", "2null", '2"x"', "2[]", "2[", '2["x"', '2["x"]]', '2["x"],', "2[NaN]", "2abc[1]", '2-["x"]'),
        *('2abc["x"]', '212345678901234567["x"]', '2/admin["x"]', '21.5["x"]'),
        *("0[]", "0null", '0"x"', "05", '00["x"]', "0{", '01-{"a":1}'),
        *('1["x"]', "1{}", "17", "11-"),
        *('3["x"]', "37", "37{}", "37null"),
        *('4{"message":"x"}', "4"),
        *('5["x"]', '5-["x"]', '50-["x"]', '511-["x"]', '5-1-["x"]', '5a-["x"]', '51["x"]', "51-{}", '61-["x"]'),
        "0/" + "a" * MAX_NAMESPACE,
    ],
)
def test_what_has_not_the_form_is_malformed(text: str) -> None:
    """A text that is no packet, or a packet that clients never send, closes the transport."""
    with pytest.raises(Malformed):
        read(text)


def test_binary_parts_come_where_they_are_expected_and_nowhere_else() -> None:
    """A text between binary parts is malformed, and so are bytes without a packet that announced them."""
    with pytest.raises(Malformed, match="binary part"):
        read('52-["x"]', b"a", '2["y"]')
    with pytest.raises(Malformed, match="binary message"):
        read(b"a")
    reading = decoder()
    reading.text('51-["x"]')
    reading.binary(b"a")
    with pytest.raises(Malformed, match="binary message"):
        reading.binary(b"b")


def test_a_packet_that_is_too_large_with_its_parts_is_refused_at_its_end() -> None:
    """The client keeps its connection and hears the refusal, and the parts are not kept until then."""
    reading = decoder()
    reading.text('53-["x"]')
    reading.binary(b"y" * LARGEST)
    assert reading._expected is not None
    assert reading._expected.parts == []
    refused = read(f'5{MAX_ATTACHMENTS}-9["x"]', *[b"y" * LARGEST] * MAX_ATTACHMENTS)
    assert isinstance(refused, RefusedEvent)
    assert (refused.id, refused.refusal.code) == ("9", ErrorCode.TOO_LARGE)
    assert refused.size > MAX_ATTACHMENTS * LARGEST


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        (['25["x",' + "[" * 40 + "]" * 40 + "]"], ErrorCode.TOO_DEEP),
        (['25["x","\\ud800"]'], ErrorCode.BAD_JSON),
        (["25[1,2]"], ErrorCode.BAD_MESSAGE),
        (["25[null]"], ErrorCode.BAD_MESSAGE),
        (["251-5[1]".replace("251-", "51-"), b"x"], ErrorCode.BAD_MESSAGE),
    ],
)
def test_an_event_without_sense_is_refused(messages: list[str | bytes], code: ErrorCode) -> None:
    """What stock clients can send, but the gateway cannot take, is refused with the ack id, and closes nothing."""
    refused = read(*messages)
    assert isinstance(refused, RefusedEvent)
    assert (refused.id, refused.refusal.code) == ("5", code)


def test_a_raw_argument_keeps_its_bytes() -> None:
    """Spaces and escapes of an argument stay as the client wrote them."""
    event = read('2["x", {"a" : "\\u00e9"} ]')
    assert isinstance(event, Event)
    assert event.arguments == [msgspec.Raw(b'{"a" : "\\u00e9"}')]
