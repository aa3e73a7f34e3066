"""Reports a run: one line per step, and a chart of the reconnects."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.crowd import MOVED, Account

WIDTH, HEIGHT, MARGIN = 720, 160, 30


@dataclass(frozen=True, slots=True)
class Line:
    """One step and its effect on the clients."""

    name: str
    seconds: float
    account: Account
    wrong: list[str]
    """Broken promises."""
    shares: dict[str, int]
    """Connections of each pod at the end of the step."""
    started: float

    def text(self) -> str:
        account = self.account
        closes = ", ".join(f"{code}: {number}" for code, number in sorted(account.closes.items())) or "none"
        refusals = ", ".join(f"{name}: {number}" for name, number in sorted(account.refusals.items())) or "none"
        peak = max(self.per_second().values(), default=0)
        lines = [
            f"{'FAILED' if self.wrong else 'ok':6} {self.name} ({self.seconds:.0f} s)",
            f"       closes {{{closes}}} ({MOVED}: moved before they were closed); refusals {{{refusals}}}",
            f"       clients of the SDK without a connection for a while: {len(account.interrupted)}",
            f"       lost {account.lost}, repeated {account.repeated}, declared lost {account.declared}",
            f"       reconnects {len(account.reconnects)}, at most {peak} in a second",
            f"       connections by pod {sorted(self.shares.values())}",
            *(f"       ! {wrong}" for wrong in self.wrong),
        ]
        return "\n".join(lines)

    def per_second(self) -> Counter[int]:
        """Reconnects per second since the step began."""
        return Counter(int(at - self.started) for at in self.account.reconnects)


def write_report(folder: Path, lines: list[Line]) -> None:
    """Writes the lines as text, and a chart for each step with reconnects."""
    (folder / "report.txt").write_text("\n\n".join(line.text() for line in lines) + "\n")
    for line in lines:
        if line.account.reconnects:
            (folder / f"{line.name}.svg").write_text(_drawing(line))


def _drawing(line: Line) -> str:
    per_second = line.per_second()
    last, most = max(per_second) + 1, max(per_second.values())
    step = (WIDTH - 2 * MARGIN) / last
    bars = [
        f'<rect x="{MARGIN + second * step:.1f}" y="{HEIGHT - MARGIN - height:.1f}" width="{max(step - 1, 0.5):.1f}" '
        f'height="{height:.1f}"/>'
        for second, number in sorted(per_second.items())
        for height in [(HEIGHT - 2 * MARGIN) * number / most]
    ]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" fill="steelblue">',
            f'<text x="{MARGIN}" y="16">{line.name}: reconnects per second, at most {most}</text>',
            *bars,
            f'<text x="{MARGIN}" y="{HEIGHT - 10}">0 s</text>',
            f'<text x="{WIDTH - MARGIN}" y="{HEIGHT - 10}" text-anchor="end">{last} s</text>',
            "</svg>",
            "",
        ]
    )
