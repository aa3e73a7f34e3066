"""JSON in a binary message is recognised, and other bytes are not taken for it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestay.protocol.json_in_binary import is_json

AUTH = {"type": "auth", "payload": {"token": "secret"}}
MISREAD = [
    json.dumps(AUTH),
    json.dumps([AUTH, AUTH]),
    json.dumps(AUTH, indent=2),
    "\n\t {} \r\n",
    "\ufeff" + json.dumps(AUTH),
    '{"é": "\U0001f600", "big": 1e999}',
    '{"a":1,"a":2}',
    "[1]\n",
    '{"type":"auth","payload":{"token":"secret"},"name":"\\ud83d"}',
    r'["\uDFFF\uD800", "\\ud800"]',
    "[" * 5000 + "]" * 5000,
]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be", "utf-16"])
@pytest.mark.parametrize("text", MISREAD)
def test_json_is_recognised(text: str, encoding: str) -> None:
    """Objects and arrays as libraries write them: with white space, with a byte order mark, in UTF-16."""
    assert is_json(text.encode(encoding).ljust(4))


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\x00\x00\x07" + b'{"type":"auth"}',
        b"\x00\x00\x00\x7b" + b'"a":1}',
        b"{}{}",
        b"[1,2,3",
        b'{"a":1}\x00',
        rb'{"a":"\ud80"}',
        rb'{"a":\ud800}',
        b"{abc}",
        b"[\x00\x00\x01" + b"[" * 5000,
        b"[[\x01\x02",
        b"    " + b"\x01\x02",
        b"    ",
        b'"text"',
        b"1234",
        b"\xef\xbb\xbf\xbf",
        b"\xff\xfe\x00\xd8",
        b"\x00[\x00\x00",
    ],
)
def test_other_bytes_are_not_taken_for_json(data: bytes) -> None:
    """What only begins like JSON is a binary message, and so is JSON behind a type."""
    assert not is_json(data)


@given(st.binary(min_size=4))
def test_any_bytes_have_an_answer(data: bytes) -> None:
    """No bytes raise an error, and what is recognised is JSON for another parser too."""
    if is_json(data):
        assert isinstance(json.loads(data), dict | list)
