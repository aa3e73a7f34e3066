"""Draws docs/pictures/architecture.svg: a pod's layers as storeys, and the systems around it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

PICTURE: Final = Path(__file__).parent / "pictures" / "architecture.svg"


@dataclass(frozen=True, slots=True)
class Part:
    """One layer of the package, or one folder of `core`, as the contracts in pyproject.toml name it."""

    name: str
    about: str


@dataclass(frozen=True, slots=True)
class Outside:
    """A system that a pod talks to. `library` is the package that speaks to it; one contract says who imports that."""

    name: str
    about: str
    library: str


@dataclass(frozen=True, slots=True)
class Arrow:
    """Who calls whom. `both` draws a head at each end."""

    start: str
    end: str
    both: bool = False


STOREYS: Final[Sequence[Sequence[Part]]] = (
    (Part("cli", "the command forestay"),),
    (Part("pod", "starts, runs, drains"), Part("terminal", "join, send, tail, load")),
    (Part("settings", "read once, from the environment"),),
    (
        Part("edge", "WebSocket, HTTP API, tokens"),
        Part("ops", "probes, drain, metrics, traces"),
        Part("outbound", "signed requests to you"),
        Part("hooks", "the application's rules"),
        Part("bus", "messages between pods"),
        Part("web", "the demo page"),
    ),
    (Part("core", "rooms, rights, limits, delivery: no socket, no vendor"),),
    (Part("protocol", "requests, codes, names, messages: pure functions"),),
)
"""The layers from top to bottom; those of one storey do not import each other."""

CORE: Final[Sequence[Sequence[Part]]] = (
    (Part("sessions", "welcome, requests and end of a client"),),
    (Part("cluster", "heartbeats, control messages, limits of users"),),
    (Part("rooms", "members, publishing, history, presence"),),
    (Part("fanout", "one encoding, one write per member"),),
    (Part("hooks", "questions to the application"),),
    (Part("ports", "interfaces to the outside"),),
    (Part("facts", "counts of messages"), Part("rules", "rights, policies, rates")),
)
"""The folders of `core`, in the same way."""

CLIENTS: Final = Outside("Clients", "browsers, apps, devices", "aiohttp")
BALANCER: Final = Outside("Load balancer", "any, no sticky sessions", "aiohttp")
BACKENDS: Final = Outside("Your backends", "HTTP API, internal port", "aiohttp")
PROMETHEUS: Final = Outside("Prometheus", "scrapes metrics", "prometheus_client")
COLLECTOR: Final = Outside("OpenTelemetry", "collects traces", "opentelemetry")
KUBERNETES: Final = Outside("Kubernetes API", "lists pods, takes Events", "kubernetes")
REDIS: Final = Outside("Redis", "what the pods share", "redis")

ARROWS: Final[Sequence[Arrow]] = (
    Arrow("Clients", "Load balancer", both=True),
    Arrow("Load balancer", "edge", both=True),
    Arrow("Your backends", "edge"),
    Arrow("outbound", "Your backends"),
    Arrow("Prometheus", "ops"),
    Arrow("ops", "OpenTelemetry"),
    Arrow("ops", "Kubernetes API"),
    Arrow("bus", "Redis", both=True),
)

MESSAGE: Final[Sequence[tuple[str, str]]] = (
    ("edge", "reads it from the socket"),
    ("sessions", "checks rights and rate"),
    ("rooms", "publishes it"),
    ("bus", "carries it to every pod"),
    ("fanout", "delivers it on each pod"),
)
"""The way of a client's message: where it is, and what happens there."""

_TITLE: Final = "Forestay: one pod, and the systems around it"
_WIDTH: Final = 1000
_LEFT, _POD, _RIGHT = (24, 172), (252, 482), (802, 174)
"""The three columns: where each begins, and its width."""
_PAD, _GAP, _THIN, _BLOCK, _TALL = 16, 8, 32, 48, 164
_STYLE: Final = """
text{font:13px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;fill:#1f2a37}
.title{font-size:18px;font-weight:600}.name{font-weight:600}.quiet{font-size:12px;fill:#566273}
.card{fill:#fff;stroke:#d5dbe3}.pod{fill:#f6f8fb;stroke:#9aa7b6}.other{fill:#eef1f5;stroke:#c3ccd6}
.start{fill:#fff;stroke:#c3ccd6}.side{fill:#e3eefb;stroke:#7fb0e6}.core{fill:#e6f4ea;stroke:#7cba8d}
.folder{fill:#fff;stroke:#a9d3b4}.protocol{fill:#f1eafa;stroke:#b79bdc}.outside{fill:#fff7e8;stroke:#e0b568}
.arrow{fill:none;stroke:#566273;stroke-width:1.6}.head{fill:#566273}
.step{fill:#b4540a}.digit{font-size:12px;font-weight:700;fill:#fff}
@media(prefers-color-scheme:dark){
text{fill:#e2e8f0}.quiet{fill:#a3b0bf}.card{fill:#0f141b;stroke:#2d3643}.pod{fill:#161d27;stroke:#56647a}
.other{fill:#131922;stroke:#39445a}.start{fill:#1c2531;stroke:#3d4a5c}.side{fill:#15293f;stroke:#3d74ad}
.core{fill:#14291c;stroke:#3c7a50}.folder{fill:#1b3625;stroke:#33653f}.protocol{fill:#271d38;stroke:#7554a3}
.outside{fill:#33270f;stroke:#93702b}.arrow{stroke:#a3b0bf}.head{fill:#a3b0bf}
.step{fill:#ffa348}.digit{fill:#1f1305}}
"""


@dataclass(frozen=True, slots=True)
class _Box:
    x: float
    y: float
    width: float
    height: float

    @property
    def middle(self) -> float:
        return self.y + self.height / 2

    @property
    def end(self) -> float:
        return self.x + self.width


def draw() -> str:
    """The picture as the text of an SVG file."""
    boxes, bottom = _layout()
    pod = _Box(_POD[0], 70, _POD[1], bottom - 70)
    height = bottom + 92
    parts = [
        _text(_LEFT[0], 40, "title", _TITLE),
        *(_rect("other", _Box(pod.x + shift, pod.y + shift, pod.width, pod.height), 12) for shift in (14, 7)),
        _rect("pod", pod, 12),
        _label(pod.x + _PAD, pod.y + 26, "Pod", "one of several; each layer imports only from layers below"),
        *(part for outside in _outsides() for part in _block("outside", boxes[outside.name], outside)),
        *_storeys(boxes),
        *(_arrow(arrow, boxes) for arrow in ARROWS),
        *_steps(boxes, bottom + 46),
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:g}" role="img">'
        f"<title>{escape(_TITLE)}</title><style>{_STYLE}</style>"
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8"'
        ' markerUnits="userSpaceOnUse" orient="auto-start-reverse"><path class="head" d="M0 0 8 4 0 8z"/>'
        "</marker></defs>"
        + _rect("card", _Box(0.5, 0.5, _WIDTH - 1, height - 1), 12)
        + "\n"
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _outsides() -> Sequence[Outside]:
    return (CLIENTS, BALANCER, BACKENDS, PROMETHEUS, COLLECTOR, KUBERNETES, REDIS)


def _layout() -> tuple[dict[str, _Box], float]:
    """The box of each name, and where the pod ends."""
    boxes: dict[str, _Box] = {}
    inner = _Box(_POD[0] + _PAD, 108, _POD[1] - 2 * _PAD, 0)
    y = inner.y
    for storey in STOREYS:
        if storey[0].name == "core":
            folders = _Box(inner.x + _PAD, y + _THIN, inner.width - 2 * _PAD, 0)
            end = _stack(boxes, CORE, folders, _THIN)
            boxes["core"] = _Box(inner.x, y, inner.width, end - y + _PAD - _GAP)
            y = boxes["core"].y + boxes["core"].height + _GAP
        else:
            # The systems outside stand beside the storey that speaks to them, which is as tall as they are together.
            heights = (_TALL, _BLOCK, _THIN) if len(storey) > 2 else (_THIN,)
            for number, height in enumerate(heights):
                row = storey[2 * number : 2 * number + 2]
                y = _stack(boxes, [row], _Box(inner.x, y, inner.width, 0), height)
    top, step = boxes["edge"].y, (_TALL - _BLOCK) / 2
    for number, outside in enumerate((CLIENTS, BALANCER, BACKENDS)):
        # Backends stand beside two storeys: they call the one, and hear from the other.
        height = 2 * _BLOCK + _GAP if outside is BACKENDS else _BLOCK
        boxes[outside.name] = _Box(_LEFT[0], top + (number - 1) * 2 * step, _LEFT[1], height)
    for number, outside in enumerate((PROMETHEUS, COLLECTOR, KUBERNETES)):
        boxes[outside.name] = _Box(_RIGHT[0], top + number * step, _RIGHT[1], _BLOCK)
    boxes["Redis"] = _Box(_RIGHT[0], boxes["bus"].y, _RIGHT[1], _BLOCK)
    return boxes, y - _GAP + _PAD


def _stack(boxes: dict[str, _Box], rows: Sequence[Sequence[Part]], within: _Box, height: float) -> float:
    """Place the rows one below the other, and return where the next one would begin."""
    y = within.y
    for row in rows:
        width = (within.width - _GAP * (len(row) - 1)) / len(row)
        for number, part in enumerate(row):
            boxes[part.name] = _Box(within.x + number * (width + _GAP), y, width, height)
        y += height + _GAP
    return y


def _storeys(boxes: dict[str, _Box]) -> Iterator[str]:
    for storey in STOREYS:
        for part in storey:
            box = boxes[part.name]
            if len(storey) > 2 and box.height > _THIN:
                yield from _block("side", box, part)
            elif part.name == "core":
                yield _rect("core", box, 8)
                yield _label(box.x + _PAD, box.y + 22, part.name, part.about)
            else:
                yield from _line("protocol" if part.name == "protocol" else "start", box, part)
    for row in CORE:
        for part in row:
            yield from _line("folder", boxes[part.name], part)


def _line(style: str, box: _Box, part: Part) -> Iterator[str]:
    """A box with the name and what it is about in one line."""
    yield _rect(style, box, 6)
    yield _label(box.x + 12, box.middle + 4.5, part.name, part.about)


def _block(style: str, box: _Box, about: Part | Outside) -> Iterator[str]:
    """A box with the name above what it is about."""
    yield _rect(style, box, 8)
    yield _text(box.x + 12, box.middle - 3, "name", about.name)
    yield _text(box.x + 12, box.middle + 15, "quiet", about.about)


def _arrow(arrow: Arrow, boxes: dict[str, _Box]) -> str:
    start, end = boxes[arrow.start], boxes[arrow.end]
    if start.x == end.x:
        path = f"M{start.x + start.width / 2:g} {start.y + start.height + 3:g}V{end.y - 3:g}"
    else:
        x1, x2 = (start.end + 3, end.x - 3) if start.x < end.x else (start.x - 3, end.end + 3)
        # In the middle of what both boxes have beside each other.
        y = (max(start.y, end.y) + min(start.y + start.height, end.y + end.height)) / 2
        path = f"M{x1:g} {y:g}H{x2:g}"
    heads = ' marker-start="url(#head)"' * arrow.both + ' marker-end="url(#head)"'
    return f'<path class="arrow" d="{path}"{heads}/>'


def _steps(boxes: dict[str, _Box], y: float) -> Iterator[str]:
    """A number in the box of each step, and beneath the pod what each number means."""
    yield _text(_LEFT[0], y - 6, "name", "The way of a message")
    width = (_WIDTH - 2 * _LEFT[0]) / len(MESSAGE)
    for number, (name, about) in enumerate(MESSAGE):
        box, x = boxes[name], _LEFT[0] + number * width
        yield _digit(box.end - 17, box.middle if box.height == _THIN else box.y + 17, number + 1)
        yield _digit(x + 9, y + 19, number + 1) + _text(x + 25, y + 23.5, "quiet", about)


def _digit(x: float, y: float, number: int) -> str:
    return (
        f'<circle class="step" cx="{x:g}" cy="{y:g}" r="9"/>'
        f'<text class="digit" x="{x:g}" y="{y + 4.5:g}" text-anchor="middle">{number}</text>'
    )


def _rect(style: str, box: _Box, radius: int) -> str:
    return (
        f'<rect class="{style}" x="{box.x:g}" y="{box.y:g}" width="{box.width:g}" height="{box.height:g}"'
        f' rx="{radius}"/>'
    )


def _text(x: float, y: float, style: str, text: str) -> str:
    return f'<text class="{style}" x="{x:g}" y="{y:g}">{escape(text)}</text>'


def _label(x: float, y: float, name: str, about: str) -> str:
    return (
        f'<text class="name" x="{x:g}" y="{y:g}">{escape(name)}'
        f'<tspan class="quiet" font-weight="400" dx="10">{escape(about)}</tspan></text>'
    )


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")
