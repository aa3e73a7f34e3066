"""A stranger's trace context is well formed or gone."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.protocol.trace import TraceContext, parse_trace

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
HEX = st.text(alphabet="0123456789abcdef", min_size=16, max_size=16)


@given(HEX, HEX, HEX)
def test_a_well_formed_parent_is_kept_as_it_is(one: str, two: str, three: str) -> None:
    """Version 00, 32 and 16 hex digits that are not all zero, and flags."""
    parent = f"00-{one}{two}-{three}-01"
    zero = "0" * 16
    expected = None if one == two == zero or three == zero else TraceContext(parent)
    assert parse_trace(parent) == expected


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        PARENT.upper(),
        PARENT + "\n",
        " " + PARENT,
        PARENT + "-extra",
        PARENT.replace("00-", "ff-", 1),
        PARENT.replace("00-", "01-", 1),
        "00-" + "0" * 32 + "-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-" + "0" * 16 + "-01",
        PARENT[:-1],
        PARENT.replace("a", "\u0430", 1),
        PARENT.replace("1", "\u0661", 1),
    ],
)
def test_a_malformed_parent_is_no_context(text: str | None) -> None:
    """Nothing that another system would choke on is passed on, and its state goes with it."""
    assert parse_trace(text, "vendor=1") is None


@pytest.mark.parametrize("state", ["", "a=1\nb=2", "a=\x00", "é=1", "x" * 513, "a=1\r\nSet-Cookie: b"])
def test_a_bad_state_is_dropped_alone(state: str) -> None:
    """The parent is kept where only the vendors' part is malformed."""
    assert parse_trace(PARENT, state) == TraceContext(PARENT)


@given(st.text(max_size=60), st.text(max_size=20))
def test_any_text_is_a_context_or_none(parent: str, state: str) -> None:
    """Whatever comes, what is kept can stand in a header."""
    context = parse_trace(parent, state)
    assert context is None or re.fullmatch(r"[\x20-\x7e]+", context.traceparent + (context.tracestate or ""))


def test_a_good_state_is_kept() -> None:
    """The vendors' part travels along where it is printable and of bounded length."""
    assert parse_trace(PARENT, "x" * 512) == TraceContext(PARENT, "x" * 512)
