"""JSON that nests deeper than a limit is found before a parser sees it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestay.protocol.depth import deeper_than

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


def depth(value: object) -> int:
    """How deep `value` nests, by a plain recursive count."""
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


@given(json_values, st.integers(0, 6))
def test_the_depth_equals_a_plain_count(value: object, limit: int) -> None:
    """Text and its UTF-8 bytes have the depth of the value. Brackets in strings do not count."""
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False)):
        assert deeper_than(text, limit) == (depth(value) > limit)
        assert deeper_than(text.encode("utf-8", "surrogatepass"), limit) == (depth(value) > limit)


@pytest.mark.parametrize("text", ["[" * 9, "{" * 9, '[{"a":' * 5, "[[[[[[[[[", '["]]]",' + "[" * 8, "]" * 3 + "[" * 12])
def test_text_that_is_not_closed_counts_too(text: str) -> None:
    """The parser would recurse before it finds that brackets are missing."""
    assert deeper_than(text, 8)
    assert deeper_than(text.encode(), 8)


@given(st.binary(max_size=60))
def test_any_bytes_have_a_depth(data: bytes) -> None:
    """Bytes that are not UTF-8 raise no exception."""
    assert deeper_than(data, 0) == deeper_than(data.decode("latin-1"), 0)


@pytest.mark.parametrize("text", ['"' + '\\"' * 500_000 + "[" * 600, "\\" * 500_000 + '"' * 500_001, "[{" * 250_000])
def test_the_time_is_linear(text: str) -> None:
    """A string that never ends is not scanned again from each of its quotes: that would take hours here."""
    assert deeper_than(text, 512) in (True, False)
    assert deeper_than(text.encode(), 512) in (True, False)
