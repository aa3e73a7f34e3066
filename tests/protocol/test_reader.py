"""The reader turns any text into a request or an Unreadable, and keeps the bytes of a payload."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestay.protocol.codes import ErrorCode
from forestay.protocol.position import Position
from forestay.protocol.requests import Broadcast, Call, Join, JoinMany, JsonRequest, Unreadable
from forestay.protocol.v1.reader import REQUEST_TYPES, Reader
from forestay.protocol.v1.salvage import salvage, search

reader = Reader(max_depth=64, rooms_per_join=3)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


def read(text: str) -> JsonRequest | JoinMany:
    """The request in `text`."""
    return reader.read(text.encode())


@given(st.text() | json_values.map(json.dumps) | st.text(alphabet='{}[]":,\\ typeroomidjoin12', max_size=80))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Any text gives a request or a documented refusal, and no other exception."""
    try:
        read(text)
    except Unreadable as unreadable:
        assert unreadable.refusal.code in ErrorCode
        assert unreadable.refusal.message


@given(json_values)
def test_a_payload_is_left_as_it_was_written(value: object) -> None:
    """A payload keeps the spacing and the escapes of its sender."""
    for written in (json.dumps(value), json.dumps(value, indent=1, ensure_ascii=False)):
        try:
            said = read(f'{{"type":"broadcast","room":"a","payload":{written}}}')
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
            read(text)
        except Unreadable as unreadable:
            assert (unreadable.refusal.code == ErrorCode.TOO_DEEP) == (levels > 64)


@given(json_values, json_values)
def test_a_trace_context_of_any_form_refuses_nothing(parent: object, state: object) -> None:
    """A malformed trace context is dropped, and the request is accepted."""
    said = {"type": "broadcast", "room": "a", "payload": 1, "traceparent": parent, "tracestate": state}
    try:
        assert isinstance(read(json.dumps(said)), Broadcast)
    except Unreadable as unreadable:
        assert unreadable.refusal.code in (ErrorCode.BAD_JSON, ErrorCode.TOO_DEEP)


@given(json_values, json_values, json_values)
def test_the_refusal_keeps_the_id_and_room_of_the_request(kind: object, id_: object, room: object) -> None:
    """The refusal repeats `id` and `room` where they are strings."""
    try:
        read(json.dumps({"type": kind, "id": id_, "room": room}))
    except Unreadable as unreadable:
        assert unreadable.id in (id_, None)
        assert unreadable.room in (room, None)
        if unreadable.refusal.code is ErrorCode.UNKNOWN_TYPE:
            assert isinstance(kind, str)
            assert kind not in REQUEST_TYPES


def test_unknown_fields_and_the_clients_time_are_ignored() -> None:
    """Unknown fields are ignored, so a newer client can use an older gateway."""
    assert read('{"type":"join","room":"a","timestamp":5,"colour":"red"}') == Join(room="a")


@pytest.mark.parametrize(
    "text", ['{"type":5, x', "[1, x", '{"type":"zz"', '{"room":1,"type":"join"', '{"id":1,"a":' + "[" * 60]
)
def test_a_text_with_two_errors_is_malformed(text: str) -> None:
    """A text with a wrong field and a later JSON error is refused like any other malformed text."""
    with pytest.raises(Unreadable) as refused:
        read(text)
    assert refused.value.refusal.code in (ErrorCode.BAD_JSON, ErrorCode.BAD_MESSAGE)


FAULTS = {
    "a lone surrogate": '"\\ud800"',
    "half a pair in a name": '{"\\udc00":1}',
    "no JSON": "nul",
    "a raw line break": '"a\nb"',
    "an unknown escape": '"\\x"',
    "too deep": "[" * 70 + "]" * 70,
    "too deep and wide": "[" * 70 + "[]," * 500 + "1" + "]" * 70,
    "a number with a zero in front": "007",
    "a comma too many": "[1,]",
    "wide": "[" + "[]," * 20_000 + '"\\ud800"]',
    "decoys": '{"id":"inner","room":"inner","a":["id","x",{"id":"y"}],"b":"\\"id\\":\\"z\\""},nul',
}
"""Values that make their message unreadable. None of them hides the end of the value."""


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
@given(st.permutations(["id", "room", "type", "payload"]), st.text(max_size=64), st.text(max_size=64))
def test_a_broken_message_is_refused_with_its_id_and_room(fault: str, order: list[str], id_: str, room: str) -> None:
    """A text that is no JSON because of one field is refused with its `id` and `room`, wherever they stand."""
    written = {"id": json.dumps(id_), "room": json.dumps(room), "type": '"broadcast"', "payload": fault}
    text = "{" + ", ".join(f'"{name}": {written[name]}' for name in order) + "}"
    with pytest.raises(Unreadable) as refused:
        read(text)
    assert (refused.value.id, refused.value.room) == (id_, room)
    assert refused.value.refusal.code in (ErrorCode.BAD_JSON, ErrorCode.TOO_DEEP)


@pytest.mark.parametrize(
    "text", ['{"type":"join","id":"7","room":"a', '{"id":"7"', '{"id" : "7",,"type":"join"}', '{"id":"7"}x']
)
def test_a_text_that_breaks_off_is_refused_with_its_id(text: str) -> None:
    """What stands before the fault is read."""
    with pytest.raises(Unreadable) as refused:
        read(text)
    assert refused.value.id == "7"


@pytest.mark.parametrize(
    ("id_", "named"),
    [
        ('"' + "x" * 65 + '"', "65"),
        ("7", "number"),
        ("true", "boolean"),
        ("[1]", "array"),
        ("{}", "object"),
        ('"\\ud800"', "not valid JSON"),
    ],
)
@pytest.mark.parametrize(
    "rest", ['"type":"ping"', '"type":"no"', '"type":"broadcast","room":"a","payload":nul', '"type":"join","room":5']
)
def test_an_id_that_cannot_be_used_is_named(id_: str, named: str, rest: str) -> None:
    """The refusal has no `id`, and its message says what the `id` must be and what came."""
    for text in ('{"id":' + id_ + "," + rest + "}", "{" + rest + ',"id":' + id_ + "}"):
        with pytest.raises(Unreadable) as refused:
            read(text)
        assert refused.value.id is None
        assert "`id` must be a string of at most 64 characters; got" in refused.value.refusal.message
        assert named in refused.value.refusal.message


def test_the_search_for_an_id_is_bounded() -> None:
    """A text made of brackets or of quotes costs a bounded search, and is refused."""
    tiring = ('\\"', "\\", '"', "[]", '"",', "[{", "x", "1,", ":", "\\u0022", '"\\\\', " ", '""')
    for text in (start + piece * 300_000 for start in ("", '"', "{", '{"a":', '{"":["') for piece in tiring):
        started = time.process_time()
        assert len(salvage(text)) == 0
        assert len(search(text)) == 0
        assert time.process_time() - started < 1.0, text[:20]
    for text in ("[]" * 500_000, '{"":[' + '"",' * 500_000, '{"a":' + "[{" * 500_000, '"' + "\\\\" * 500_000):
        assert len(salvage(text)) == 0
        assert len(search(text)) == 0


def test_a_list_of_rooms_becomes_one_join_for_each() -> None:
    """The joins have the `id` of the list and keep its order. A room that cannot be read is refused on its own."""
    text = '{"type":"join","id":"7","rooms":[{"room":"a","since":{"epoch":"e","offset":3}},{"room":"b","since":5},9]}'
    said = read(text)
    assert isinstance(said, JoinMany)
    first, second, third = said.joins
    assert first == Join("7", room="a", since=Position("e", 3))
    assert isinstance(second, Unreadable)
    assert (second.id, second.room, second.refusal.code) == ("7", "b", ErrorCode.BAD_MESSAGE)
    assert isinstance(third, Unreadable)
    assert (third.id, third.room) == ("7", None)


@pytest.mark.parametrize(
    ("fields", "code", "named"),
    [
        ({"rooms": [{"room": "a"}] * 4}, ErrorCode.TOO_MANY_ROOMS, "3 rooms"),
        ({"rooms": []}, ErrorCode.BAD_MESSAGE, "at least one"),
        ({"rooms": {"room": "a"}}, ErrorCode.BAD_MESSAGE, "list"),
        ({"rooms": "a"}, ErrorCode.BAD_MESSAGE, "list"),
        ({"rooms": [{"room": "a"}], "room": "a"}, ErrorCode.BAD_MESSAGE, "either"),
        ({"rooms": [{"room": "a"}], "since": {"epoch": "e", "offset": 1}}, ErrorCode.BAD_MESSAGE, "since"),
        ({"rooms": None}, ErrorCode.BAD_MESSAGE, "room"),
    ],
)
def test_a_list_that_cannot_be_used_is_refused_once(fields: dict[str, object], code: ErrorCode, named: str) -> None:
    """One refusal with the `id`, which says what the list must be."""
    with pytest.raises(Unreadable, match=named) as refused:
        read(json.dumps({"type": "join", "id": "7"} | fields))
    assert (refused.value.id, refused.value.refusal.code) == ("7", code)


def test_a_room_and_no_list_is_one_join() -> None:
    """`rooms: null` is the same as leaving it out."""
    assert read('{"type":"join","room":"a","rooms":null}') == Join(room="a")


def test_a_call_has_a_method_and_any_payload() -> None:
    """The payload stays as it was written, and is null where it is left out."""
    called = read('{"type":"call","id":"1","method":"orders.create","payload":{ "n":1.50 }}')
    assert isinstance(called, Call)
    assert (called.id, called.method, bytes(called.payload)) == ("1", "orders.create", b'{ "n":1.50 }')
    called = read('{"type":"call","method":"orders.list"}')
    assert isinstance(called, Call)
    assert (called.id, bytes(called.payload)) == (None, b"null")


@pytest.mark.parametrize("fields", [{}, {"method": 7}, {"method": None}])
def test_a_call_without_a_method_is_refused(fields: dict[str, object]) -> None:
    """The refusal has the `id`, and names the field."""
    with pytest.raises(Unreadable, match="method") as refused:
        read(json.dumps({"type": "call", "id": "7"} | fields))
    assert (refused.value.id, refused.value.refusal.code) == ("7", ErrorCode.BAD_MESSAGE)
