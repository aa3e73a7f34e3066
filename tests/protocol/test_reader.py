"""The reader turns any text into a request or an Unreadable, and keeps the bytes of a payload."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestay.protocol.codes import ErrorCode
from forestay.protocol.requests import Broadcast, Join, Unreadable
from forestay.protocol.v1.reader import REQUEST_TYPES, Reader

reader = Reader(max_depth=64)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@given(st.text() | json_values.map(json.dumps) | st.text(alphabet='{}[]":,\\ typeroomidjoin12', max_size=80))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Any text gives a request or a documented refusal, and no other exception."""
    try:
        reader.read(text)
    except Unreadable as unreadable:
        assert unreadable.refusal.code in ErrorCode
        assert unreadable.refusal.message


@given(json_values)
def test_a_payload_is_left_as_it_was_written(value: object) -> None:
    """A payload keeps the spacing and the escapes of its sender."""
    for written in (json.dumps(value), json.dumps(value, indent=1, ensure_ascii=False)):
        try:
            said = reader.read(f'{{"type":"broadcast","room":"a","payload":{written}}}')
        except Unreadable:
            # The reader refuses half of a surrogate pair, which other JSON parsers accept.
            assert any(0xD800 <= ord(letter) < 0xE000 for letter in json.loads(f"[{json.dumps(written)}]")[0]) or (
                "\\ud" in written
            )
            continue
        assert isinstance(said, Broadcast)
        assert bytes(said.payload) == written.encode()


@pytest.mark.parametrize("levels", [64, 65, 5000, 60_000])
def test_a_text_that_nests_too_deep_is_refused(levels: int) -> None:
    """Text beyond the depth limit is refused at any depth, with closed brackets or without."""
    for text in ('{"type":"ping","x":' + "[" * (levels - 1) + "]" * (levels - 1) + "}", "[" * levels):
        try:
            reader.read(text)
        except Unreadable as unreadable:
            assert (unreadable.refusal.code == ErrorCode.TOO_DEEP) == (levels > 64)


@given(json_values, json_values)
def test_a_trace_context_of_any_form_refuses_nothing(parent: object, state: object) -> None:
    """A malformed trace context is dropped, and the request is accepted."""
    said = {"type": "broadcast", "room": "a", "payload": 1, "traceparent": parent, "tracestate": state}
    try:
        assert isinstance(reader.read(json.dumps(said)), Broadcast)
    except Unreadable as unreadable:
        assert unreadable.refusal.code in (ErrorCode.BAD_JSON, ErrorCode.TOO_DEEP)


@given(json_values, json_values, json_values)
def test_the_refusal_keeps_the_id_and_room_of_the_request(kind: object, id_: object, room: object) -> None:
    """The refusal repeats `id` and `room` where they are strings."""
    try:
        reader.read(json.dumps({"type": kind, "id": id_, "room": room}))
    except Unreadable as unreadable:
        assert unreadable.id in (id_, None)
        assert unreadable.room in (room, None)
        if unreadable.refusal.code is ErrorCode.UNKNOWN_TYPE:
            assert isinstance(kind, str)
            assert kind not in REQUEST_TYPES


def test_unknown_fields_and_the_clients_time_are_ignored() -> None:
    """Unknown fields are ignored, so a newer client can use an older gateway."""
    assert reader.read('{"type":"join","room":"a","timestamp":5,"colour":"red"}') == Join(room="a")


@pytest.mark.parametrize(
    "text", ['{"type":5, x', "[1, x", '{"type":"zz"', '{"room":1,"type":"join"', '{"id":1,"a":' + "[" * 60]
)
def test_a_text_with_two_errors_is_malformed(text: str) -> None:
    """A text with a wrong field and a later JSON error is refused like any other malformed text."""
    with pytest.raises(Unreadable) as refused:
        reader.read(text)
    assert refused.value.refusal.code in (ErrorCode.BAD_JSON, ErrorCode.BAD_MESSAGE)
