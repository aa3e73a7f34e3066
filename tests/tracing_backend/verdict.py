"""Describes the expected trace of a message span by span, and names what is missing in a real one."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from forestay.ops.tracing import conventions as words
from tests.support.otlp_sink import Span, Value
from tests.tracing_backend.journey import MEMBERS, PATTERN, PODS, Journey

Ids = tuple[str, str]
"""The ids of a trace and a span."""


@dataclass(frozen=True, slots=True)
class Expected:
    """An expected span. `parent` and `links` are the `role` of another span, or a span of another trace."""

    role: str
    name: str
    kind: str
    pod: str
    parent: str = ""
    links: tuple[str, ...] = ()
    attributes: Mapping[str, Value] = field(default_factory=dict)

    def fits(self, span: Span) -> bool:
        """Whether `span` is this one, judged by its name and attributes and not by its parent."""
        return (
            (span.name, span.kind, span.resource.get(words.SERVICE_INSTANCE)) == (self.name, self.kind, self.pod)
            and self.attributes.items() <= span.attributes.items()
            and not span.failed
            and span.start <= span.end
        )


TAKEN, PUBLISHED = "taken in", "given to the bus"
CALLER = "the caller"


def message(system: str, parent: str = "", links: tuple[str, ...] = ()) -> list[Expected]:
    """The expected spans: process and publish on the first pod, delivery on each pod."""
    process, publish = f"{words.PROCESS} {PATTERN}", f"{words.PUBLISH} {PATTERN}"
    templated: dict[str, Value] = {words.TEMPLATE: PATTERN}
    taking = templated | {words.SYSTEM: system, words.OPERATION_TYPE: "process"}
    publishing = templated | {words.SYSTEM: "redis", words.OPERATION_TYPE: "send"}
    delivering = templated | {words.SYSTEM: "redis", words.OPERATION_TYPE: "process", words.DROPPED: 0}
    return [
        Expected(TAKEN, process, "CONSUMER", PODS[0], parent, links, taking),
        Expected(PUBLISHED, publish, "PRODUCER", PODS[0], TAKEN, (), publishing),
        *(
            Expected(
                f"delivered on {pod}",
                process,
                "CONSUMER",
                pod,
                PUBLISHED,
                (PUBLISHED,),
                delivering | {words.RECIPIENTS: members},
            )
            for pod, members in zip(PODS, MEMBERS, strict=True)
        ),
    ]


def missing(journey: Journey) -> list[str]:
    """The differences; empty if there are none."""
    client = (journey.client.trace_id, journey.client.traceparent[36:52])
    backend = (journey.backend.trace_id, journey.backend.traceparent[36:52])
    return [
        *judge("client's message", journey.sent, message("websocket", links=(CALLER,)), client),
        *judge("backend's message", journey.posted, message("http", parent=CALLER), backend),
        *_judge_handshakes(journey.handshakes, client),
    ]


def judge(title: str, spans: Sequence[Span], expected: Sequence[Expected], caller: Ids) -> Iterator[str]:
    """Compares a trace with the expected one. `caller`: the span that it links to or that is its parent."""
    ids: dict[str, Ids] = {CALLER: caller}
    found: list[tuple[Expected, Span]] = []
    for one in expected:
        fitting = [span for span in spans if one.fits(span)]
        if len(fitting) != 1:
            yield f"{title}: {len(fitting)} spans {one.role!r} ({one.kind} {one.name!r} of {one.pod}) and not one"
            continue
        found.append((one, fitting[0]))
        ids[one.role] = (fitting[0].trace_id, fitting[0].span_id)
    for one, span in found:
        if one.parent and (span.trace_id, span.parent_id) != ids.get(one.parent):
            yield f"{title}: {one.role!r} does not hang below {one.parent!r}"
        if not one.parent and span.parent_id:
            yield f"{title}: {one.role!r} hangs below {span.parent_id}, and is to begin a trace"
        if span.links != [ids.get(link) for link in one.links]:
            yield f"{title}: {one.role!r} links to {span.links}, and is to link to {list(one.links)}"
    if len(spans) > len(expected):
        yield f"{title}: {len(spans)} spans and not {len(expected)}"


def _judge_handshakes(spans: Sequence[Span], client: Ids) -> Iterator[str]:
    for pod, members in zip(PODS, MEMBERS, strict=True):
        attributes: dict[str, Value] = {words.HTTP_STATUS: 101, words.HTTP_ROUTE: "/ws"}
        shape = Expected("", words.HANDSHAKE, "SERVER", pod, attributes=attributes)
        fitting = [span for span in spans if shape.fits(span)]
        if len(fitting) != members:
            yield f"handshakes: {len(fitting)} spans on {pod} and not {members}"
        for span in fitting:
            if span.parent_id or span.links != [client]:
                yield f"handshakes: one on {pod} does not begin a trace that links to the client's"
