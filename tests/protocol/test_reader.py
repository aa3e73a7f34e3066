"""Any text is a sentence or an Unreadable, and a payload stays the bytes that came."""

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
    """Garbage in gives the documented refusal; anything else is our bug."""
    try:
        reader.read(text)
    except Unreadable as unreadable:
        assert unreadable.refusal.code in ErrorCode
        assert unreadable.refusal.message


@given(json_values)
def test_a_payload_is_left_as_it_was_written(value: object) -> None:
    """Whatever spacing and escapes its writer chose."""
    for written in (json.dumps(value), json.dumps(value, indent=1, ensure_ascii=False)):
        try:
            said = reader.read(f'{{"type":"broadcast","room":"a","payload":{written}}}')
        except Unreadable:
            # The one thing that valid JSON may not hold: half of a surrogate pair.
            assert any(0xD800 <= ord(letter) < 0xE000 for letter in json.loads(f"[{json.dumps(written)}]")[0]) or (
                "\\ud" in written
            )
            continue
        assert isinstance(said, Broadcast)
        assert bytes(said.payload) == written.encode()


@pytest.mark.parametrize("levels", [64, 65, 5000, 60_000])
def test_what_is_too_deep_is_refused_as_such(levels: int) -> None:
    """At any depth, closed or not, and never as a crash."""
    for text in ('{"type":"ping","x":' + "[" * (levels - 1) + "]" * (levels - 1) + "}", "[" * levels):
        try:
            reader.read(text)
        except Unreadable as unreadable:
            assert (unreadable.refusal.code == ErrorCode.TOO_DEEP) == (levels > 64)


@given(json_values, json_values)
def test_a_trace_context_of_any_form_refuses_nothing(parent: object, state: object) -> None:
    """It is dropped if it is none."""
    said = {"type": "broadcast", "room": "a", "payload": 1, "traceparent": parent, "tracestate": state}
    try:
        assert isinstance(reader.read(json.dumps(said)), Broadcast)
    except Unreadable as unreadable:
        assert unreadable.refusal.code in (ErrorCode.BAD_JSON, ErrorCode.TOO_DEEP)


@given(json_values, json_values, json_values)
def test_what_can_be_read_of_the_envelope_is_kept(kind: object, id_: object, room: object) -> None:
    """`id` and `room` are echoed where they are strings."""
    try:
        reader.read(json.dumps({"type": kind, "id": id_, "room": room}))
    except Unreadable as unreadable:
        assert unreadable.id in (id_, None)
        assert unreadable.room in (room, None)
        if unreadable.refusal.code is ErrorCode.UNKNOWN_TYPE:
            assert isinstance(kind, str)
            assert kind not in REQUEST_TYPES


def test_unknown_fields_and_the_clients_time_are_ignored() -> None:
    """So that a newer client can speak to an older gateway."""
    assert reader.read('{"type":"join","room":"a","timestamp":5,"colour":"red"}') == Join(room="a")


@pytest.mark.parametrize(
    "text", ['{"type":5, x', "[1, x", '{"type":"zz"', '{"room":1,"type":"join"', '{"id":1,"a":' + "[" * 60]
)
def test_what_is_wrong_twice_is_no_json(text: str) -> None:
    """A wrong form in front of text that is no JSON further on is refused like any other text that is no JSON."""
    with pytest.raises(Unreadable) as refused:
        reader.read(text)
    assert refused.value.refusal.code in (ErrorCode.BAD_JSON, ErrorCode.BAD_MESSAGE)
