"""Orders a trace for reading: each span below its parent, sorted by start."""

from collections.abc import Iterator, Sequence

from forestay.ops.tracing import conventions as words
from tests.support.otlp_sink import Span


def ordered(spans: Sequence[Span]) -> list[tuple[int, Span]]:
    """The spans with their depths. A span whose parent is missing is at the root."""
    known = {span.span_id for span in spans}

    def below(parent: str | None, depth: int) -> Iterator[tuple[int, Span]]:
        here = [span for span in spans if (span.parent_id if span.parent_id in known else None) == parent]
        for span in sorted(here, key=lambda span: span.start):
            yield depth, span
            yield from below(span.span_id, depth + 1)

    return list(below(None, 0))


def remark(span: Span) -> str:
    """The text beside the name."""
    attributes = span.attributes
    if words.RECIPIENTS in attributes:
        return f"out of {attributes[words.SYSTEM]}, to {attributes[words.RECIPIENTS]} sockets"
    if words.HTTP_STATUS in attributes:
        return f"status {attributes[words.HTTP_STATUS]}"
    if words.SYSTEM in attributes:
        way = "into" if span.kind == "PRODUCER" else "over"
        return f"{way} {attributes[words.SYSTEM]}"
    return ""


def text(title: str, spans: Sequence[Span]) -> str:
    """The trace as lines: the start, duration, pod and links of each span."""
    if not spans:
        return f"{title}: no spans"
    names = {span.span_id: span.name for span in spans}
    first = min(span.start for span in spans)
    lines = [f"{title}, trace {spans[0].trace_id}"]
    for depth, span in ordered(spans):
        name = "  " * depth + span.name
        where = str(span.resource.get(words.SERVICE_INSTANCE, "?"))
        links = ", ".join(names.get(one, f"another's {trace[:8]}…/{one}") for trace, one in span.links)
        parent = "" if not span.parent_id or span.parent_id in names else f"below another's {span.parent_id}"
        beside = "; ".join(filter(None, (remark(span), parent, links and f"links to {links}")))
        times = f"{(span.start - first) / 1e6:7.2f} ms + {(span.end - span.start) / 1e6:6.2f}"
        lines.append(f"  {times}  {where:<6} {span.kind:<8} {name:<24} {beside}")
    return "\n".join(lines)
