"""Reads the Socket.IO packets of one client, strictly. This is revision 5 of the protocol, without Engine.IO around it.

A packet is a text, and a packet with binary parts is followed by them: one binary message for each. What breaks this
form raises `Malformed`, and the caller closes the transport, as Socket.IO's own server does. What has the form, but no
sense, becomes a refusal: the client keeps its connection and learns what is wrong.
"""

import re
from collections.abc import Mapping
from typing import Final, TypeAlias

import msgspec
from msgspec import Raw, Struct

from forestay.protocol.codes import ErrorCode, Refusal
from forestay.protocol.depth import deeper_than

ROOT: Final = "/"
"""The namespace of packets that name none."""

MAX_ATTACHMENTS: Final = 10
"""Binary parts of one packet. Stock clients close their connection on a packet with more."""

MAX_NAMESPACE: Final = 128
"""Characters of the name of a namespace."""

_CONNECT, _DISCONNECT, _EVENT, _ACK, _BINARY_EVENT, _BINARY_ACK = "0", "1", "2", "3", "5", "6"

# Type, number of binary parts, namespace with the comma behind it, ack id, data. An id is at most 2**53 in stock
# clients, which has sixteen digits.
_PACKET = re.compile(r"([0-6])(?:([0-9]{1,2})-)?(?:(/[^,]*)(?:,|\Z))?([0-9]{1,16})?(.*)", re.DOTALL).fullmatch

_decode_auth = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_list = msgspec.json.Decoder(list[Raw]).decode
_decode_name = msgspec.json.Decoder(str).decode

# Half of a surrogate pair, as JavaScript writes it for a broken string. Our parser takes it for no JSON.
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")


class Malformed(Exception):
    """A client broke the form of packets. The message says how, and repeats nothing that the client wrote."""


class Connect(Struct, frozen=True):
    """The client asks to enter a namespace."""

    namespace: str
    auth: Mapping[str, Raw]


class Disconnect(Struct, frozen=True):
    """The client leaves a namespace."""

    namespace: str


class Event(Struct, frozen=True):
    """The client emits an event."""

    namespace: str
    id: str | None
    """The ack id; None where the client waits for no answer."""
    name: str
    arguments: list[Raw]
    attachments: list[bytes]
    """Its binary parts. The arguments have placeholders that name them."""
    size: int
    """Bytes of the packet, all parts together."""


class Ack(Struct, frozen=True):
    """The client answers an event. We ask for no answers, so nothing waits for it."""

    namespace: str
    size: int


class RefusedEvent(Struct, frozen=True):
    """An event that has the form of a packet, and is refused: too large, too deep, or without a name."""

    namespace: str
    id: str | None
    refusal: Refusal
    size: int


Packet: TypeAlias = Connect | Disconnect | Event | Ack | RefusedEvent


class _Expected:
    """A packet of which binary parts are still to come."""

    __slots__ = ("missing", "packet", "parts", "size")

    def __init__(self, packet: Event | Ack | RefusedEvent, missing: int, size: int) -> None:
        self.packet = packet
        self.missing = missing
        self.size = size
        self.parts: list[bytes] = []


class Decoder:
    """Reads what one client sends, in order."""

    __slots__ = ("_expected", "_largest", "_max_depth")

    def __init__(self, largest: int, max_depth: int) -> None:
        """`largest`: bytes of a packet with its binary parts. `max_depth`: nested arrays and objects."""
        self._largest = largest
        self._max_depth = max_depth
        self._expected: _Expected | None = None

    def text(self, text: str) -> Packet | None:
        """The packet that begins with `text`; None where binary parts of it are still to come. Raises Malformed."""
        if self._expected is not None:
            raise Malformed("a text came where a binary part of a packet was expected")
        found = _PACKET(text)
        if found is None:
            raise Malformed("no packet: it has no known type")
        kind, count, named, id, data = found.groups()
        namespace = ROOT if named is None else named
        if len(namespace) > MAX_NAMESPACE:
            raise Malformed(f"the name of a namespace has at most {MAX_NAMESPACE} characters")
        if kind in (_EVENT, _ACK) and count is None:
            return self._message(kind, namespace, id, data, _size(text))
        if kind in (_BINARY_EVENT, _BINARY_ACK) and count is not None:
            self._expect(kind, int(count), namespace, id, data)
            return None
        if kind == _CONNECT and count is None and id is None:
            return Connect(namespace, self._auth(data))
        if kind == _DISCONNECT and count is None and id is None and not data:
            return Disconnect(namespace)
        raise Malformed("a packet of a type that clients do not send, or in a form that its type does not have")

    def binary(self, data: bytes) -> Packet | None:
        """The packet whose last part is `data`; None where more are to come. Raises Malformed."""
        expected = self._expected
        if expected is None:
            raise Malformed("a binary message came where no packet has such a part")
        expected.missing -= 1
        expected.size += len(data)
        if expected.size > self._largest:
            # The rest is counted and dropped: the client is told once all of it has come.
            expected.parts.clear()
        else:
            expected.parts.append(data)
        if expected.missing:
            return None
        self._expected = None
        return self._complete(expected)

    def _expect(self, kind: str, count: int, namespace: str, id: str | None, data: str) -> None:
        if not 1 <= count <= MAX_ATTACHMENTS:
            raise Malformed(f"a packet has 1 to {MAX_ATTACHMENTS} binary parts where its type says that it has some")
        size = _size(data)
        self._expected = _Expected(
            self._message(_EVENT if kind == _BINARY_EVENT else _ACK, namespace, id, data, size), count, size
        )

    def _complete(self, expected: _Expected) -> Packet:
        packet, size = expected.packet, expected.size
        if isinstance(packet, Ack):
            return Ack(packet.namespace, size)
        if size > self._largest:
            message = f"the event has {size} bytes with its binary parts; send at most {self._largest}"
            return RefusedEvent(packet.namespace, packet.id, Refusal(ErrorCode.TOO_LARGE, message), size)
        if isinstance(packet, RefusedEvent):
            return RefusedEvent(packet.namespace, packet.id, packet.refusal, size)
        return Event(packet.namespace, packet.id, packet.name, packet.arguments, expected.parts, size)

    def _auth(self, data: str) -> Mapping[str, Raw]:
        if not data:
            return {}
        try:
            if deeper_than(data, self._max_depth):
                raise Malformed(f"the auth object nests deeper than {self._max_depth} arrays and objects")
            return _decode_auth(data)
        except (msgspec.DecodeError, RecursionError):
            raise Malformed("the auth object of a CONNECT packet is no JSON object") from None

    def _message(
        self, kind: str, namespace: str, digits: str | None, data: str, size: int
    ) -> Event | Ack | RefusedEvent:
        """An event or an answer without its binary parts."""
        if kind == _ACK and digits is None:
            raise Malformed("an ACK packet has no id")
        id = None if digits is None else str(int(digits))
        if deeper_than(data, self._max_depth):
            message = f"nested deeper than {self._max_depth} arrays and objects"
            refusal = Refusal(ErrorCode.TOO_DEEP, message)
            return Ack(namespace, size) if kind == _ACK else RefusedEvent(namespace, id, refusal, size)
        try:
            values = _decode_list(data)
        except (msgspec.DecodeError, RecursionError) as error:
            refusal = _half(data, error)
            return Ack(namespace, size) if kind == _ACK else RefusedEvent(namespace, id, refusal, size)
        if kind == _ACK:
            return Ack(namespace, size)
        if not values:
            raise Malformed("an EVENT packet has no event name")
        try:
            name = _decode_name(values[0])
        except msgspec.DecodeError:
            refusal = Refusal(ErrorCode.BAD_MESSAGE, "the name of an event is a string")
            return RefusedEvent(namespace, id, refusal, size)
        return Event(namespace, id, name, values[1:], [], size)


def _half(data: str, error: Exception) -> Refusal:
    """The refusal of a list that our parser alone does not take. Raises Malformed for what is no JSON list at all."""
    try:
        _decode_list(_SURROGATE.sub("-", data))
    except (msgspec.DecodeError, RecursionError):
        raise Malformed("the data of a packet is no JSON array") from None
    return Refusal(ErrorCode.BAD_JSON, f"a string holds half of a surrogate pair: {error}")


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
