"""Text becomes a sentence or a refusal, and nothing else happens."""

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from app.protocol import sentences as said
from app.protocol.codes import ErrorCode
from app.protocol.reader import SENTENCE_TYPES, Reader, Unreadable, deeper_than

READER = Reader(max_depth=64)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@st.composite
def written(draw: st.DrawFn, values: st.SearchStrategy[Any] = JSON) -> str:
    """A value as some client may write it: with or without blanks, with or without escapes."""
    indent = draw(st.sampled_from([None, 1]))
    separators = draw(st.sampled_from([(",", ":"), (" , ", " :\t")]))
    return json.dumps(draw(values), ensure_ascii=draw(st.booleans()), indent=indent, separators=separators)


def sentence(**fields: object) -> str:
    return json.dumps(fields)


def unreadable(text: str, reader: Reader = READER) -> Unreadable:
    with pytest.raises(Unreadable) as caught:
        reader.read(text)
    return caught.value


def strictly(text: str) -> object:
    """The standard library's reading of `text` without what it takes beyond JSON. Raises ValueError."""

    def no_constant(word: str) -> object:
        raise ValueError(word)

    value = json.loads(text, parse_constant=no_constant)
    json.dumps(value, ensure_ascii=False).encode()  # A lone surrogate cannot be UTF-8.
    return value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"type":"ping"}', said.Ping()),
        (' {"id" : "1", "type" : "ping"} ', said.Ping(id="1")),
        ('{"type":"pong","timestamp":5,"room":7,"unknown":[{}]}', said.Pong()),
        ('{"type":"join","room":"a","id":"é"}', said.Join(room="a", id="é")),
        ('{"type":"join","room":"@me"}', said.Join(room="@me")),
        ('{"type":"join","room":"not a room"}', said.Join(room="not a room")),
        ('{"type":"join","room":""}', said.Join(room="")),
        (
            '{"type":"join","room":"a","since":{"epoch":"e","offset":3}}',
            said.Join(room="a", since=said.Position(epoch="e", offset=3)),
        ),
        ('{"type":"join","room":"a","since":null}', said.Join(room="a")),
        ('{"type":"leave","room":"a"}', said.Leave(room="a")),
        ('{"type":"broadcast","room":"a","payload":null}', said.Broadcast(room="a", payload=Raw(b"null"))),
        (
            '{"payload":[1, 2],"room":"a","type":"broadcast","echo":false,"key":"k"}',
            said.Broadcast(room="a", payload=Raw(b"[1, 2]"), echo=False, key="k"),
        ),
        (
            '{"type":"broadcast","room":"a","payload":0,"traceparent":"t","tracestate":"s"}',
            said.Broadcast(room="a", payload=Raw(b"0"), traceparent="t", tracestate="s"),
        ),
        ('{"type":"bind","room":"a","payload":{"type":0}}', said.Bind(room="a", payload=said.BoundType(type=0))),
        (
            '{"type":"bind","room":"a","payload":{"type":4294967295}}',
            said.Bind(room="a", payload=said.BoundType(type=4294967295)),
        ),
        ('{"type":"presence","room":"a","limit":5}', said.Presence(room="a")),
        ('{"type":"history","room":"a"}', said.History(room="a")),
        ('{"type":"auth","payload":{"token":"t"}}', said.Auth(payload=said.Token(token="t"))),
        ('{"type":"ping","id":"%s"}' % ("x" * 64), said.Ping(id="x" * 64)),
        ('{"type":"ping","id":null}', said.Ping()),
        ('{"type":"ping","type":"ping"}', said.Ping()),
    ],
)
def test_a_sentence_is_read_as_what_it_says(text: str, expected: said.Said) -> None:
    """Each type of sentence is read with its fields; what it does not know is ignored, the timestamp too."""
    assert READER.read(text) == expected


@pytest.mark.parametrize(
    ("text", "code", "id", "room"),
    [
        ("", ErrorCode.BAD_JSON, None, None),
        ("hello", ErrorCode.BAD_JSON, None, None),
        ('{"type":"ping"', ErrorCode.BAD_JSON, None, None),
        ('{"type":"ping"} {}', ErrorCode.BAD_JSON, None, None),
        ("{'type':'ping'}", ErrorCode.BAD_JSON, None, None),
        ('{"type":"ping",}', ErrorCode.BAD_JSON, None, None),
        ('\ufeff{"type":"ping"}', ErrorCode.BAD_JSON, None, None),
        ('{"type":"broadcast","id":"1","room":"a","payload":NaN}', ErrorCode.BAD_JSON, None, None),
        ('{"type":"broadcast","id":"1","room":"a","payload":01}', ErrorCode.BAD_JSON, None, None),
        ('{"type":"broadcast","id":"1","room":"a","payload":"\\ud800"}', ErrorCode.BAD_JSON, None, None),
        ('{"type":"broadcast","id":"1","room":"a","payload":{"\\udc00":1}}', ErrorCode.BAD_JSON, None, None),
        ('{"type":"join","room":5,', ErrorCode.BAD_JSON, None, None),
        ("5", ErrorCode.BAD_MESSAGE, None, None),
        ("[]", ErrorCode.BAD_MESSAGE, None, None),
        ('"ping"', ErrorCode.BAD_MESSAGE, None, None),
        ("null", ErrorCode.BAD_MESSAGE, None, None),
        ("{}", ErrorCode.BAD_MESSAGE, None, None),
        ('{"type":5,"id":"1","room":"a"}', ErrorCode.BAD_MESSAGE, "1", "a"),
        ('{"id":"1","room":"a"}', ErrorCode.BAD_MESSAGE, "1", "a"),
        ('{"type":"shout","id":"1","room":"a"}', ErrorCode.UNKNOWN_TYPE, "1", "a"),
        ('{"type":"","id":"1"}', ErrorCode.UNKNOWN_TYPE, "1", None),
        ('{"type":"welcome"}', ErrorCode.UNKNOWN_TYPE, None, None),
        ('{"type":"PING"}', ErrorCode.UNKNOWN_TYPE, None, None),
        ('{"type":"join","id":"1"}', ErrorCode.BAD_MESSAGE, "1", None),
        ('{"type":"join","id":"1","room":null}', ErrorCode.BAD_MESSAGE, "1", None),
        ('{"type":"join","id":"1","room":["a"]}', ErrorCode.BAD_MESSAGE, "1", None),
        ('{"type":"join","id":1,"room":"a"}', ErrorCode.BAD_MESSAGE, None, "a"),
        ('{"type":"join","id":"%s","room":"a"}' % ("x" * 65), ErrorCode.BAD_MESSAGE, None, "a"),
        ('{"type":"shout","id":"%s"}' % ("x" * 65), ErrorCode.UNKNOWN_TYPE, None, None),
        ('{"type":"join","id":"1","room":"a","since":{"offset":1}}', ErrorCode.BAD_MESSAGE, "1", "a"),
        ('{"type":"broadcast","id":"1","room":"a"}', ErrorCode.BAD_MESSAGE, "1", "a"),
        ('{"type":"broadcast","id":"1","room":"a","payload":1,"echo":"no"}', ErrorCode.BAD_MESSAGE, "1", "a"),
        ('{"type":"broadcast","id":"1","room":"a","payload":1,"key":""}', ErrorCode.BAD_MESSAGE, "1", "a"),
        ('{"type":"broadcast","id":"1","payload":1,"traceparent":5}', ErrorCode.BAD_MESSAGE, "1", None),
        ('{"type":"bind","id":"1","room":"a","payload":{"type":-1}}', ErrorCode.BAD_MESSAGE, "1", "a"),
        ('{"type":"bind","id":"1","room":"a","payload":{"type":4294967296}}', ErrorCode.BAD_MESSAGE, "1", "a"),
        ('{"type":"bind","id":"1","room":"a","payload":{"type":true}}', ErrorCode.BAD_MESSAGE, "1", "a"),
        ('{"type":"bind","id":"1","room":"a","payload":{"type":1.5}}', ErrorCode.BAD_MESSAGE, "1", "a"),
        ('{"type":"auth","id":"1","payload":{}}', ErrorCode.BAD_MESSAGE, "1", None),
        ('{"type":"auth","id":"1"}', ErrorCode.BAD_MESSAGE, "1", None),
    ],
)
def test_what_is_no_sentence_is_refused_by_name(text: str, code: ErrorCode, id: str | None, room: str | None) -> None:
    """The refusal says what kind of wrong it is, and echoes `id` and `room` exactly where they could be read."""
    wrong = unreadable(text)
    assert (wrong.refusal.code, wrong.id, wrong.room) == (code, id, room)
    assert wrong.refusal.message


def test_a_missing_field_is_named() -> None:
    """Whoever writes a client reads in the message which field to repair."""
    assert "room" in unreadable('{"type":"join"}').refusal.message
    assert "echo" in unreadable('{"type":"broadcast","room":"a","payload":1,"echo":1}').refusal.message


def test_an_unknown_type_is_told_the_known_ones() -> None:
    """The refusal of a type lists every type there is."""
    message = unreadable('{"type":"shout"}').refusal.message
    assert all(kind in message for kind in SENTENCE_TYPES)


def test_the_list_of_types_is_what_can_be_read() -> None:
    """SENTENCE_TYPES and the sentences' own tags are one set."""
    classes = [said.Join, said.Leave, said.Broadcast, said.Ping, said.Pong]
    classes += [said.Bind, said.Presence, said.History, said.Auth]
    assert {kind.__struct_config__.tag for kind in classes} == SENTENCE_TYPES


@st.composite
def nearly(draw: st.DrawFn) -> str:
    """Something like a sentence, its fields of any type and its text perhaps damaged."""
    fields = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "type": st.sampled_from(sorted(SENTENCE_TYPES)) | JSON,
                "room": st.sampled_from(["a", "@me", "-"]) | JSON,
                "id": st.text(max_size=70) | JSON,
                "payload": JSON | st.fixed_dictionaries({"type": JSON, "token": JSON}),
                "since": JSON,
                "key": JSON,
                "echo": JSON,
                "traceparent": JSON,
                "tracestate": JSON,
            },
        )
    )
    text = draw(written(st.just(fields)))
    cut, insert = draw(st.integers(0, len(text))), draw(st.sampled_from(["", "", "", "]", '"', "\\", "\x00", "{"]))
    return text[:cut] + insert + text[cut + draw(st.integers(0, 1)) :]


@given(st.text() | written() | nearly())
def test_any_text_is_a_sentence_or_unreadable(text: str) -> None:
    """Garbage gets the documented refusal; anything else would be our bug and cost the connection."""
    try:
        READER.read(text)
    except Unreadable as wrong:
        codes = {ErrorCode.BAD_JSON, ErrorCode.BAD_MESSAGE, ErrorCode.UNKNOWN_TYPE, ErrorCode.TOO_DEEP}
        assert wrong.refusal.code in codes
        assert wrong.id is None or len(wrong.id) <= 64


@given(written())
def test_a_payload_travels_verbatim(payload: str) -> None:
    """The bytes of a payload are the ones that its sender wrote, blanks, escapes and number forms included."""
    read = READER.read(f'{{"type":"broadcast","room":"a","payload":{payload},"id":"1"}}')
    assert isinstance(read, said.Broadcast)
    assert bytes(read.payload) == payload.encode()


@given(
    st.text(alphabet='[]{}":,0123456789.eE+-truefalsn\\ \t\n\x01\u2028"', max_size=12)
    | st.from_regex(r'\A(-?[0-9]{0,2}(\.[0-9]{0,2})?([eE][+-]?[0-9]{0,2})?|"(\\[a-z"\\/]|\\u[dD][89cC]00){0,3}")\Z')
)
def test_a_payload_is_json_exactly_where_the_standard_library_says_so(payload: str) -> None:
    """Nothing that another parser would choke on reaches a room, and nothing valid is kept from it."""
    text = f'{{"type":"broadcast","room":"a","payload":{payload}}}'
    try:
        fields = strictly(text)
    except ValueError:
        assert unreadable(text).refusal.code in {ErrorCode.BAD_JSON, ErrorCode.BAD_MESSAGE}
        return
    assert isinstance(fields, dict)
    if fields.keys() == {"type", "room", "payload"} and (fields["type"], fields["room"]) == ("broadcast", "a"):
        read = READER.read(text)
        assert isinstance(read, said.Broadcast)
        assert json.loads(bytes(read.payload)) == fields["payload"]


@given(traceparent=written(), tracestate=written(), payload=written())
def test_a_trace_context_of_any_type_never_refuses_a_broadcast(traceparent: str, tracestate: str, payload: str) -> None:
    """What is no string is dropped, and the rest of the sentence is read as if it had not been there."""
    read = READER.read(
        f'{{"traceparent":{traceparent},"type":"broadcast","room":"a","tracestate":{tracestate},'
        f'"payload":{payload},"id":"1","echo":false}}'
    )
    assert isinstance(read, said.Broadcast)
    assert (read.id, read.room, read.echo, bytes(read.payload)) == ("1", "a", False, payload.encode())
    for field, text in ((read.traceparent, traceparent), (read.tracestate, tracestate)):
        value = json.loads(text)
        assert field == (value if isinstance(value, str) else None)


# Depth.


def naive_depth(text: str) -> int:
    """How deep `text` nests, one character after the other."""
    depth = deepest = 0
    inside = escaped = False
    for character in text:
        if inside:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == '"':
                inside = False
        elif character == '"':
            inside = True
        elif character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth -= 1
    return deepest


@st.composite
def bracketed(draw: st.DrawFn) -> str:
    """Nested brackets with strings between them that look like brackets."""
    decoy = st.text(alphabet='[]{}\\"a', max_size=6).map(json.dumps)
    pieces = []
    open_brackets: list[str] = []
    for _ in range(draw(st.integers(0, 24))):
        action = draw(st.sampled_from(["open", "open", "close", "string"]))
        if action == "open":
            bracket = draw(st.sampled_from(["[]", "{}"]))
            pieces.append(bracket[0])
            open_brackets.append(bracket[1])
        elif action == "close" and open_brackets:
            pieces.append(open_brackets.pop())
        else:
            pieces.append(draw(decoy))
    return "".join(pieces + open_brackets[::-1])


@given(written() | bracketed() | st.text(alphabet='[]{}"\\a', max_size=40), st.integers(0, 12))
def test_depth_is_counted_as_one_would_by_hand(text: str, limit: int) -> None:
    """Brackets inside strings do not nest, whatever is escaped beside them, and whether or not the text is JSON."""
    assert deeper_than(text, limit) == (naive_depth(text) > limit)


@pytest.mark.parametrize("pair", ["[]", "{}"])
def test_the_limit_itself_is_allowed(pair: str) -> None:
    """As many levels as the limit are read, the envelope counted; one more is `too_deep`."""

    def nested(levels: int) -> str:
        inner = pair[0] + ('"k":' if pair == "{}" else "")
        return f'{{"type":"broadcast","room":"a","payload":{inner * (levels - 2)}{pair}{pair[1] * (levels - 2)}}}'

    assert isinstance(READER.read(nested(64)), said.Broadcast)
    assert unreadable(nested(65)).refusal.code is ErrorCode.TOO_DEEP


def test_many_brackets_are_not_deep() -> None:
    """Width is no depth, and neither are brackets in strings."""
    wide = sentence(type="broadcast", room="a", payload=[[], {}] * 500 + ['[[[[{{{{\\"' * 50])
    assert isinstance(READER.read(wide), said.Broadcast)


def test_endless_brackets_are_too_deep_and_not_a_crash() -> None:
    """Text that only opens cannot exhaust the stack, whatever the parser would make of it."""
    for opening in ("[", '{"a":', '[{"a":'):
        assert unreadable(opening * 20_000).refusal.code is ErrorCode.TOO_DEEP


@pytest.mark.parametrize(
    "hostile",
    [
        "[" * 600 + '"' + '\\"' * 8_000,
        "[" * 600 + '\\"' * 8_000,
        "[" * 600 + '"' * 16_001,
        "[" * 8_000 + "]" * 8_000,
        ("[" * 100 + "]" * 100) * 80,
        "[]" * 8_000 + "\\" * 8_000,
    ],
    ids=["unclosed string", "escaped quotes", "quotes", "nested", "blocks", "backslashes"],
)
def test_hostile_brackets_are_counted_in_linear_time(hostile: str) -> None:
    """No text makes the count cost more than its length allows: a quarter of the largest message is done in no time."""
    before = time.process_time()
    deeper_than(hostile, 512)
    assert time.process_time() - before < 0.1


@pytest.mark.parametrize(
    "text", ['{"type":5, x', "[1, x", '{"type":"zz"', '{"room":1,"type":"join"', '{"id":1,"a":' + "[" * 60]
)
def test_what_is_wrong_twice_is_no_json(text: str) -> None:
    """A wrong form in front of text that is no JSON further on is refused like any other text that is no JSON."""
    assert unreadable(text).refusal.code in (ErrorCode.BAD_JSON, ErrorCode.BAD_MESSAGE)
