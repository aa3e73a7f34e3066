"""Binary attachments become base64 in the payload, and attachments again, without harm to stock Socket.IO clients."""

import json
from base64 import b64decode, b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestay.protocol.attachments import MOST, embed, extract, fault_of_places, growth, has_placeholder
from forestay.protocol.codes import ErrorCode, Refusal

LIMIT = 1000


class Place(int):
    """A placeholder for the attachment with this number."""


def value_with(attachments: int) -> st.SearchStrategy[object]:
    """JSON values with some placeholders in them, which are numbered later."""
    leaves = st.none() | st.booleans() | st.integers() | st.text() | st.just(Place(0))
    return st.recursive(
        leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=attachments
    )


def numbered(value: object, count: list[int]) -> object:
    """`value` with the placeholders that a stock client would send, numbered from 0."""
    match value:
        case Place():
            count[0] += 1
            return {"_placeholder": True, "num": count[0] - 1}
        case list():
            return [numbered(one, count) for one in value]
        case dict():
            return {key: numbered(one, count) for key, one in value.items()}
        case _:
            return value


def restored(value: object, attachments: list[bytes]) -> object:
    """What a stock client makes of a packet with attachments: it puts them in place of the placeholders."""
    match value:
        case {"_placeholder": True, "num": int(number)}:
            return attachments[number]
        case list():
            return [restored(one, attachments) for one in value]
        case dict():
            return {key: restored(one, attachments) for key, one in value.items()}
        case _:
            return value


@given(value_with(12), st.data(), st.sampled_from([None, 1]), st.booleans())
def test_attachments_come_out_as_they_went_in(
    value: object,
    data: st.DataObject,
    indent: int | None,
    ascii_only: bool,  # noqa: FBT001
) -> None:
    """Any JSON with placeholders, in any layout, is for a receiver what it was for the sender."""
    count = [0]
    sent = numbered(value, count)
    attachments = data.draw(st.lists(st.binary(max_size=40), min_size=count[0], max_size=count[0]))
    text = json.dumps(sent, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "replace")
    if count[0] > MOST:
        with pytest.raises(Refusal, match="at most 10"):
            embed(text, attachments, LIMIT)
        return
    payload, binary_at = embed(text, attachments, LIMIT)
    assert not (binary_at and fault_of_places(payload, binary_at))
    again, parts = extract(payload, binary_at)
    assert restored(json.loads(again), parts) == restored(json.loads(text), attachments)
    assert len(again) - len(payload) == growth(binary_at)
    for place, attachment in zip(binary_at.split(","), parts, strict=False):
        start, length = map(int, place.split(":"))
        assert json.loads(payload[start : start + length]) == b64encode(attachment).decode()


@pytest.mark.parametrize(
    "text",
    [
        '[{"_placeholder":true,"num":0}]',
        '[{"num":0,"_placeholder":true}]',
        '[ { "_placeholder" : true , "num" : 0 } ]',
        '[{"\\u005fplaceholder":true,"n\\u0075m":0}]',
        '[{"\\u005Fpl\\u0061ceholder":true,"num":0}]',
        '{"_placeholder":true,"num":0}',
    ],
)
def test_a_placeholder_in_any_spelling_is_one(text: str) -> None:
    """Clients look at the parsed form, so the order, the layout and escapes do not matter."""
    payload, binary_at = embed(text.encode(), [b"abc"], LIMIT)
    assert b64decode(json.loads(payload) if payload[:1] == b'"' else json.loads(payload)[0]) == b"abc"
    assert extract(payload, binary_at)[1] == [b"abc"]


@pytest.mark.parametrize(
    ("text", "attachments"),
    [
        ("[1]", 1),
        ('[{"_placeholder":true,"num":0}]', 0),
        ('[{"_placeholder":true,"num":1}]', 1),
        ('[{"_placeholder":true,"num":-1}]', 1),
        ('[{"_placeholder":true,"num":0.0},{"_placeholder":true,"num":0}]', 1),
        ('[{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}]', 1),
        ('[{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}]', 2),
        ('[{"_placeholder":true,"num":0},{"_placeholder":true,"num":"0"}]', 1),
        ('[{"_placeholder":true,"num":0},{"_placeholder":1,"num":9}]', 1),
        ('[{"_placeholder":true,"num":0},{"_placeholder":true}]', 1),
        ('[{"_placeholder":true,"num":0},{"x":1,"_placeholder":true,"num":0}]', 1),
        ('[{"_placeholder":true,"num":0},{"\\u005fplaceholder":true,"num":7}]', 1),
        ('[{"_placeholder":true,"num":0,"num":5}]', 1),
        ('[{"_placeholder":true,"num":0},{"a":1,"\\u0061":2}]', 1),
        ('{"a":{"_placeholder":true,"num":0},"b":[{"c":{},"c":{}}]}', 1),
        ('[{"_placeholder":false,"_placeholder":true,"num":0}]', 1),
        ('[{"_placeholder":true,"num":0},1e309]', 1),
        ('[{"_placeholder":true,"num":0},{"a":[-1e999]}]', 1),
        (f'[{{"_placeholder":true,"num":0}},{"9" * 4000}]', 1),
    ],
)
def test_a_placeholder_that_could_harm_a_client_is_refused(text: str, attachments: int) -> None:
    """Each attachment has one placeholder. There are no others, nor fields or numbers that a client cannot read."""
    json.loads(text)
    if attachments == 0:
        # Without attachments no client looks for placeholders.
        assert embed(text.encode(), [], LIMIT) == (text.encode(), "")
        return
    with pytest.raises(Refusal) as refused:
        embed(text.encode(), [b"abc"] * attachments, LIMIT)
    assert refused.value.code is ErrorCode.BAD_MESSAGE


def test_fields_and_numbers_of_any_form_are_taken() -> None:
    """The same field in several objects is none twice, and numbers may have as many digits as a double can hold."""
    text = b'[{"_placeholder":true,"num":0},{"a":{"a":[1e-999,-0.0,1.7e308,%b]}},{"a":1}]' % (b"9" * 308)
    payload, binary_at = embed(text, [b"abc"], LIMIT)
    assert payload == text.replace(b'{"_placeholder":true,"num":0}', b'"YWJj"')
    assert fault_of_places(payload, binary_at) is None


def test_what_the_parser_cannot_follow_is_refused() -> None:
    """Near the largest depth that can be configured, a message with attachments is refused, and raises nothing else."""
    text = b"[" * 20_000 + b'{"_placeholder":true,"num":0}' + b"]" * 20_000
    with pytest.raises(Refusal, match="too deep"):
        embed(text, [b""], LIMIT)


def test_attachments_are_bounded() -> None:
    """At most ten of them, and together no more bytes than a message."""
    text = json.dumps([{"_placeholder": True, "num": number} for number in range(11)]).encode()
    with pytest.raises(Refusal, match="at most 10"):
        embed(text, [b""] * 11, LIMIT)
    two = json.dumps([{"_placeholder": True, "num": number} for number in range(2)]).encode()
    embed(two, [b"x" * 500] * 2, LIMIT)
    with pytest.raises(Refusal) as refused:
        embed(two, [b"x" * 500, b"x" * 501], LIMIT)
    assert refused.value.code is ErrorCode.TOO_LARGE


@pytest.mark.parametrize(
    ("payload", "found"),
    [
        ('{"a":{"_placeholder":1}}', True),
        ('[{ "\\u005f\\u0070laceholder"\n: 1}]', True),
        ('{"a":"_placeholder"}', False),
        ('["_placeholder"]', False),
        ('["\\"_placeholder\\":1"]', False),
        ('{"x\\"_placeholder":1}', False),
        ('{"x_placeholder":1}', False),
        ('{"_placeholder ":1}', False),
        ('{"\\\\u005fplaceholder":1}', False),
        ('["\\\\",{"_placeholder":1}]', True),
    ],
)
def test_the_field_is_found_as_a_parser_finds_it(payload: str, found: bool) -> None:  # noqa: FBT001
    """As a key in any spelling, and not as a text or a part of a key."""
    assert ("_placeholder" in keys(json.loads(payload))) is found
    assert has_placeholder(payload.encode()) is found


def keys(value: object) -> set[str]:
    if isinstance(value, dict):
        return {*value, *(key for one in value.values() for key in keys(one))}
    return {key for one in value for key in keys(one)} if isinstance(value, list) else set()


@given(
    st.recursive(
        st.sampled_from(["_placeholder", '"', "\\", "x"]),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(st.sampled_from(["_placeholder", '"_placeholder', "\\_placeholder", "num"]), inner)
        ),
    )
)
def test_no_text_is_taken_for_the_field(value: object) -> None:
    """Quotes and backslashes around it change nothing."""
    assert has_placeholder(json.dumps(value).encode()) is ("_placeholder" in keys(value))


@pytest.mark.parametrize(
    ("payload", "binary_at"),
    [
        ('["QUJD"]', "0:6"),
        ('["QUJD"]', "1:7"),
        ('["QUJD"]', "2:4"),
        ('["QUJD"]', "1:99"),
        ('["QUJD"]', "1:1"),
        ('["QUJD"]', "99:2"),
        ('["QUJD"]', "1:6,1:6"),
        ('["QUJD","QUJD"]', "8:6,1:6"),
        ('["QUJ"]', "1:5"),
        ('["QU D"]', "1:6"),
        ('["QÜJD"]', "1:7"),
        ('{"QUJD":1}', "1:6"),
        ('{"QUJD" :1}', "1:6"),
        ('["x\\"QUJD"]', "4:6"),
        ('["QUJD\\""]', "1:8"),
        ('["\\""]', "3:2"),
        ('["a","b"]', "3:3"),
        ('["QUJD",{"_placeholder":true,"num":1}]', "1:6"),
        ('["QUJD",{"a":1,"a":1}]', "1:6"),
        ('["QUJD",{"\\u005fplaceholder":true,"num":1}]', "1:6"),
    ],
)
def test_places_that_lead_to_no_binary_part_are_found(payload: str, binary_at: str) -> None:
    """What the bus says is checked, or a client would get JSON that is cut in the wrong place."""
    json.loads(payload)
    assert fault_of_places(payload.encode(), binary_at)


@pytest.mark.parametrize(
    ("payload", "binary_at"),
    [('["QUJD"]', "1:6"), ('["",""]', "1:2,4:2"), ('"QQ=="', "0:6"), ('["\\\\","QUJD"]', "6:6")],
)
def test_good_places_pass(payload: str, binary_at: str) -> None:
    """Also those of empty attachments, and a payload that is one attachment."""
    assert fault_of_places(payload.encode(), binary_at) is None
    json.loads(extract(payload.encode(), binary_at)[0])
