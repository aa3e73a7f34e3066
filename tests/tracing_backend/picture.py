"""Draws a trace as a waterfall in SVG: a row per span, a colour per pod, an arrow per link."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from forestay.ops.tracing import conventions as words
from tests.support.otlp_sink import Span
from tests.tracing_backend.tree import ordered, remark

_WIDTH, _MARGIN, _LEFT, _RIGHT = 800, 28, 286, 706
"""The width of the picture, and the range of its bars. The durations are on the right of it."""
_TOP, _ROW, _BAR, _INDENT = 112, 50, 22, 18
_NARROWEST = 4.0
_STYLE = """
text{font:13px system-ui,-apple-system,"Segoe UI",sans-serif;fill:#1f2a37}
.title{font-size:17px;font-weight:600}.name{font-weight:600}.quiet{font-size:12px;fill:#5b6776}
.card{fill:#fff;stroke:#d5dbe3}.grid{stroke:#e8ecf1}.branch{stroke:#b6c0cc;fill:none}
.pod0{fill:#1a5fb4}.pod1{fill:#d9730d}.own{fill:none;stroke:#8793a3;stroke-dasharray:4 3}
.link{fill:none;stroke:#7a3fb0;stroke-width:1.6;stroke-dasharray:4 3}.head{fill:#7a3fb0}
@media(prefers-color-scheme:dark){
text{fill:#e2e8f0}.quiet{fill:#9aa7b6}.card{fill:#141a22;stroke:#2d3643}.grid{stroke:#232c38}.branch{stroke:#4a5666}
.pod0{fill:#62a0ea}.pod1{fill:#ffa348}.own{stroke:#7c8999}.link{stroke:#cda4f2}.head{fill:#cda4f2}}
"""


@dataclass(frozen=True, slots=True)
class _Row:
    span: Span
    depth: int
    pod: int
    middle: float
    left: float
    width: float

    @property
    def right(self) -> float:
        return self.left + self.width


def draw(spans: Sequence[Span]) -> str:
    """Draws the trace of a client's message."""
    first, last = min(span.start for span in spans), max(span.end for span in spans)
    scale = (_RIGHT - _LEFT) / (last - first)
    pods = sorted({_pod(span) for span in spans})
    rows = [
        _Row(
            span,
            depth,
            pods.index(_pod(span)),
            # The linked caller is above the first span.
            _TOP + (number + 1.5) * _ROW,
            _LEFT + (span.start - first) * scale,
            max(_NARROWEST, (span.end - span.start) * scale),
        )
        for number, (depth, span) in enumerate(ordered(spans))
    ]
    bottom = _TOP + (len(rows) + 1) * _ROW
    title = "One message, two pods, one trace"
    caption = f"{len(spans)} spans in {(last - first) / 1e6:.1f} ms, as Jaeger has them · trace {spans[0].trace_id}"
    parts = [
        f'<text class="title" x="{_MARGIN}" y="42">{escape(title)}</text>',
        f'<text class="quiet" x="{_MARGIN}" y="63">{escape(caption)}</text>',
        *_axis((last - first) / 1e6, bottom),
        *_caller(rows[0]),
        *_branches(rows),
        *(part for row in rows for part in _bar(row)),
        *_links(rows),
        *_legend(pods, bottom + 34),
    ]
    height = bottom + 58
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style>"
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path class="head" d="M0 0 8 4 0 8z"/></marker></defs>'
        f'<rect class="card" x="0.5" y="0.5" width="{_WIDTH - 1}" height="{height - 1}" rx="12"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _pod(span: Span) -> str:
    return str(span.resource[words.SERVICE_INSTANCE])


def _axis(milliseconds: float, bottom: float) -> Iterator[str]:
    step = next(step for step in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 1000) if milliseconds / step <= 7)
    for number in range(int(milliseconds / step) + 1):
        x = _LEFT + number * step / milliseconds * (_RIGHT - _LEFT)
        yield f'<path class="grid" d="M{x:.1f} {_TOP - 6}V{bottom}"/>'
        yield f'<text class="quiet" x="{x:.1f}" y="{_TOP - 14}" text-anchor="middle">{number * step:g} ms</text>'


def _caller(row: _Row) -> Iterator[str]:
    """The caller's span, in a trace of its own: linked to, and no parent."""
    if not row.span.links:
        return
    y = _TOP + _ROW / 2
    yield f'<text class="name" x="{_MARGIN}" y="{y - 3}">the client’s own span</text>'
    yield f'<text class="quiet" x="{_MARGIN}" y="{y + 14}">in the client’s own trace</text>'
    yield f'<rect class="own" x="{_LEFT}" y="{y - _BAR / 2}" width="120" height="{_BAR}" rx="4"/>'
    yield _arrow(f"M{_LEFT + 26} {row.middle - _BAR / 2 - 2}V{y + _BAR / 2 + 3}")


def _branches(rows: Sequence[_Row]) -> Iterator[str]:
    """Lines from each parent's name to those of its children."""
    above = {row.span.span_id: row for row in rows}
    for row in rows:
        parent = above.get(row.span.parent_id)
        if parent is not None:
            x = _MARGIN + parent.depth * _INDENT + 5
            yield f'<path class="branch" d="M{x} {parent.middle + 20}V{row.middle - 7}h{_INDENT - 9}"/>'


def _bar(row: _Row) -> Iterator[str]:
    x, beside = _MARGIN + row.depth * _INDENT, f"{_pod(row.span)} · {remark(row.span)}"
    yield f'<text class="name" x="{x}" y="{row.middle - 3}">{escape(row.span.name)}</text>'
    yield f'<text class="quiet" x="{x}" y="{row.middle + 14}">{escape(beside)}</text>'
    yield (
        f'<rect class="pod{row.pod % 2}" x="{row.left:.1f}" y="{row.middle - _BAR / 2}" width="{row.width:.1f}"'
        f' height="{_BAR}" rx="4"/>'
    )
    took = f"{(row.span.end - row.span.start) / 1e6:.2f} ms"
    yield f'<text class="quiet" x="{row.right + 8:.1f}" y="{row.middle + 4}">{took}</text>'


def _links(rows: Sequence[_Row]) -> Iterator[str]:
    """Arrows from each span to the spans of this trace that it links to."""
    known = {row.span.span_id: row for row in rows}
    free = float(_RIGHT)
    for row in rows:
        for target in (known[span] for _, span in row.span.links if span in known):
            # Each arrow goes up on the left of the rows above it, so that no arrow crosses another one or a duration.
            free = min(free, row.left, target.right) - 18
            x = max(target.left + 8, free)
            corner = f"H{x + 6:.1f}Q{x:.1f} {row.middle} {x:.1f} {row.middle - 6}"
            yield _arrow(f"M{row.left - 3:.1f} {row.middle}{corner}V{target.middle + _BAR / 2 + 3}")


def _arrow(path: str) -> str:
    return f'<path class="link" d="{path}" marker-end="url(#head)"/>'


def _legend(pods: Sequence[str], y: float) -> Iterator[str]:
    x = _MARGIN
    for number, pod in enumerate(pods):
        yield f'<rect class="pod{number % 2}" x="{x}" y="{y - 11}" width="14" height="14" rx="3"/>'
        yield f'<text class="quiet" x="{x + 21}" y="{y}">{escape(pod)}</text>'
        x += 84
    yield f'<path class="branch" d="M{x + 5} {y - 11}v7h12"/><text class="quiet" x="{x + 24}" y="{y}">parent</text>'
    x += 88
    yield _arrow(f"M{x} {y - 4}h28") + f'<text class="quiet" x="{x + 36}" y="{y}">link</text>'
