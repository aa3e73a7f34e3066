"""A bar chart as SVG, legible on light and dark."""

from collections.abc import Mapping
from dataclasses import dataclass
from xml.sax.saxutils import escape

_WIDTH, _BAR, _GAP, _LEFT, _TOP = 640, 26, 12, 150, 64


@dataclass(frozen=True, slots=True)
class Bars:
    """The figure that is drawn, and its meaning."""

    figure: str
    unit: str
    better: str = "more is better"


def draw(title: str, bars: Bars, values: Mapping[str, float]) -> str:
    """The chart of one figure over several servers; our own stands out."""
    most = max(values.values()) or 1.0
    rows = []
    for number, (name, value) in enumerate(values.items()):
        y = _TOP + number * (_BAR + _GAP)
        width = max(2.0, (_WIDTH - _LEFT - 110) * value / most)
        kind = "ours" if name.startswith("forestay") else "other"
        rows.append(
            f'<text class="name" x="{_LEFT - 10}" y="{y + 18}" text-anchor="end">{escape(name)}</text>'
            f'<rect class="{kind}" x="{_LEFT}" y="{y}" width="{width:.1f}" height="{_BAR}" rx="3"/>'
            f'<text class="value" x="{_LEFT + width + 8:.1f}" y="{y + 18}">{value:,.1f}</text>'
        )
    height = _TOP + len(values) * (_BAR + _GAP) + 8
    style = (
        "text{font:13px system-ui,sans-serif;fill:#1f2a37}.title{font-weight:600;font-size:15px}.unit{fill:#64748b}"
        ".ours{fill:#1a5fb4}.other{fill:#94a3b8}"
        "@media(prefers-color-scheme:dark){text{fill:#e2e8f0}.unit{fill:#94a3b8}.ours{fill:#62a0ea}.other{fill:#64748b}}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">'
        f"<title>{escape(title)}</title><style>{style}</style>"
        f'<text class="title" x="16" y="26">{escape(title)}</text>'
        f'<text class="unit" x="16" y="46">{escape(bars.unit)}; {escape(bars.better)}</text>{"".join(rows)}</svg>\n'
    )
