"""A real tracing backend shows one message as one trace, and missing parts are named."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from forestay.ops.tracing import conventions as words
from tests.support.otlp_sink import Span
from tests.tracing_backend import jaeger
from tests.tracing_backend.journey import PODS, travel
from tests.tracing_backend.picture import draw
from tests.tracing_backend.verdict import CALLER, judge, message, missing

TRACE, THEIRS = "a" * 32, ("b" * 32, "c" * 16)
EXPECTED = message("websocket", links=(CALLER,))


async def test_jaeger_has_one_trace_for_one_message(tmp_path: Path) -> None:
    """Jaeger has one trace for a client's message and one for a backend's, from receipt to both deliveries."""
    program = jaeger.found()
    if program is None:
        pytest.skip("no Jaeger here; make e2e-trace builds one")
    async with jaeger.jaeger(program) as running:
        journey = await travel(running, tmp_path)
    assert missing(journey) == []


def test_a_complete_trace_passes() -> None:
    """A complete trace has no missing part, and the picture shows all of it."""
    assert wrong(whole()) == []
    picture = draw(whole())
    assert picture.count("process chat.*") == 3
    assert picture.count('marker-end="url(#head)"') == 4  # Three links, and one in the legend.


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda spans: spans[:3], f"0 spans 'delivered on {PODS[1]}'"),
        (lambda spans: [*spans, spans[3]], f"2 spans 'delivered on {PODS[1]}'"),
        (lambda spans: [*spans, replace(spans[3], name="another")], "5 spans and not 4"),
        (lambda spans: [spans[0], replace(spans[1], parent_id="f" * 16), *spans[2:]], "does not hang below 'taken in'"),
        (lambda spans: [replace(spans[0], parent_id=THEIRS[1]), *spans[1:]], "is to begin a trace"),
        (lambda spans: [replace(spans[0], links=[]), *spans[1:]], f"is to link to ['{CALLER}']"),
        (lambda spans: [*spans[:3], replace(spans[3], trace_id="d" * 32)], "does not hang below 'given to the bus'"),
        (lambda spans: [*spans[:3], replace(spans[3], links=[])], "is to link to ['given to the bus']"),
        (lambda spans: [*spans[:3], replace(spans[3], kind="CLIENT")], f"0 spans 'delivered on {PODS[1]}'"),
        (lambda spans: [*spans[:3], replace(spans[3], attributes={})], f"0 spans 'delivered on {PODS[1]}'"),
        (lambda spans: [*spans[:3], replace(spans[3], failed=True)], f"0 spans 'delivered on {PODS[1]}'"),
    ],
)
def test_a_fault_in_a_trace_is_named(damage: Callable[[list[Span]], list[Span]], problem: str) -> None:
    """A missing span, parent, link, kind or attribute is named, and so is an extra span."""
    assert any(problem in line for line in wrong(damage(whole()))), wrong(damage(whole()))


def wrong(spans: list[Span]) -> list[str]:
    return list(judge("a message", spans, EXPECTED, THEIRS))


def whole() -> list[Span]:
    """The expected trace, with a millisecond per span."""
    taken, published = "1" * 16, "2" * 16
    places = [
        (taken, "", [THEIRS]),
        (published, taken, []),
        ("3" * 16, published, [(TRACE, published)]),
        ("4" * 16, published, [(TRACE, published)]),
    ]
    return [
        Span(
            name=expected.name,
            kind=expected.kind,
            trace_id=TRACE,
            span_id=span,
            parent_id=parent,
            links=links,
            attributes=dict(expected.attributes),
            events=[],
            failed=False,
            start=number * 1_000_000,
            end=(number + 1) * 1_000_000,
            resource={words.SERVICE_INSTANCE: expected.pod},
            state="",
        )
        for number, (expected, (span, parent, links)) in enumerate(zip(EXPECTED, places, strict=True))
    ]
