"""Our sampling decision equals the SDK's, without calling the SDK."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import Decision, ParentBased, Sampler, TraceIdRatioBased
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from forestay.ops.tracing.sampling import Sampling, parse_sampling
from forestay.protocol.trace import TraceContext, parse_trace


def theirs(sampling: Sampling) -> Sampler:
    root = TraceIdRatioBased(sampling.ratio)
    return ParentBased(root) if sampling.parent_based else root


@given(ratio=st.floats(0, 1), kept=st.booleans())
def test_a_new_trace_id_is_kept_or_not_by_every_sampler_of_the_same_ratio(*, ratio: float, kept: bool) -> None:
    """Every sampler of the same ratio makes our decision from the trace id, also in services behind us."""
    if ratio == float(not kept):
        return  # With this ratio no such id exists.
    sampling = Sampling(ratio, parent_based=False)
    trace = sampling.new_id(kept=kept)
    assert 0 < trace < 2**128
    decision = theirs(sampling).should_sample(None, trace, "").decision
    assert (decision is Decision.RECORD_AND_SAMPLE) is (kept and sampling.bound > 0)


@given(trace=st.integers(1, 2**128 - 1), ratio=st.floats(0, 1), parent_based=st.booleans(), flag=st.booleans())
def test_a_callers_trace_is_kept_as_the_sdk_keeps_it(
    *, trace: int, ratio: float, parent_based: bool, flag: bool
) -> None:
    """A caller's trace is kept as the SDK would keep it, with and without parent-based sampling."""
    sampling = Sampling(ratio, parent_based)
    parent = NonRecordingSpan(SpanContext(trace, 1, is_remote=True, trace_flags=TraceFlags(flag)))
    decision = theirs(sampling).should_sample(set_span_in_context(parent, Context()), trace, "").decision
    kept = sampling.keeps(TraceContext(f"00-{trace:032x}-{1:016x}-0{int(flag)}"))
    assert kept is (decision is Decision.RECORD_AND_SAMPLE)


def test_a_share_of_new_traces_is_kept() -> None:
    """Of ten thousand new traces at a ratio of 0.01, between 50 and 200 are kept."""
    random.seed(7)
    sampling = Sampling(0.01, parent_based=True)
    assert 50 < sum(sampling.sampler.kept() for _ in range(10_000)) < 200


@pytest.mark.parametrize(
    ("name", "argument", "expected"),
    [
        (None, None, Sampling(1, parent_based=True)),
        ("", "0.5", Sampling(1, parent_based=True)),
        ("always_on", None, Sampling(1, parent_based=False)),
        ("always_off", None, Sampling(0, parent_based=False)),
        ("traceidratio", "0.25", Sampling(0.25, parent_based=False)),
        ("parentbased_always_on", None, Sampling(1, parent_based=True)),
        ("parentbased_always_off", None, Sampling(0, parent_based=True)),
        ("parentbased_traceidratio", "0.01", Sampling(0.01, parent_based=True)),
        ("PARENTBASED_TRACEIDRATIO", " 1e-3 ", Sampling(0.001, parent_based=True)),
        ("traceidratio", None, Sampling(1, parent_based=False)),
        ("traceidratio", "nan", Sampling(1, parent_based=False)),
        ("traceidratio", "2", Sampling(1, parent_based=False)),
        ("traceidratio", "much", Sampling(1, parent_based=False)),
        ("xray", "0.5", Sampling(1, parent_based=True)),
    ],
)
def test_the_variables_mean_what_the_specification_says(
    name: str | None, argument: str | None, expected: Sampling
) -> None:
    """The sampler variables follow the specification; invalid values mean the default."""
    environ = {"OTEL_TRACES_SAMPLER": name, "OTEL_TRACES_SAMPLER_ARG": argument}
    assert parse_sampling({key: value for key, value in environ.items() if value is not None}) == expected


@given(st.from_regex(r"[0-9a-f-]{50,60}") | st.text(max_size=60), st.text(max_size=600))
def test_a_hostile_context_is_dropped_or_well_formed(traceparent: str, tracestate: str) -> None:
    """A parsed trace context is well formed for any input; all others are dropped."""
    trace = parse_trace(traceparent, tracestate)
    if trace is not None:
        assert int(trace.trace_id, 16) > 0
        assert isinstance(trace.sampled, bool)
