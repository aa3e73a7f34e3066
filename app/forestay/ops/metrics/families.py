"""Makes the families of metrics that Prometheus knows, each of one kind and with one label at most."""

from collections.abc import Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.samples import Exemplar

from forestay.core.facts.histogram import Histogram

_Bucket = tuple[str, float] | tuple[str, float, Exemplar]


def gauge(name: str, text: str, value: float) -> Metric:
    """A gauge without labels."""
    return GaugeMetricFamily(name, text, value)


def gauges(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    """A gauge with a value for each value of one label."""
    family = GaugeMetricFamily(name, text, labels=[label])
    for label_value, value in values.items():
        family.add_metric([label_value], value)
    return family


def counter(name: str, text: str, value: float) -> Metric:
    """A counter without labels."""
    return CounterMetricFamily(name, text, value)


def counters(name: str, text: str, label: str, counts: Mapping[str, int]) -> Metric:
    """A counter with a value for each value of one label."""
    family = CounterMetricFamily(name, text, labels=[label])
    for label_value, count in counts.items():
        family.add_metric([label_value], count)
    return family


def histogram(name: str, text: str, values: Histogram) -> Metric:
    """A histogram, with the last trace of each bucket."""
    return HistogramMetricFamily(name, text, buckets=_buckets(values), sum_value=values.sum)


def histograms(name: str, text: str, label: str, values: Mapping[str, Histogram]) -> Metric:
    """A histogram for each value of one label, with the last trace of each bucket."""
    family = HistogramMetricFamily(name, text, labels=[label])
    for label_value, one in values.items():
        family.add_metric([label_value], _buckets(one), one.sum)
    return family


def _buckets(histogram: Histogram) -> list[_Bucket]:
    found: list[_Bucket] = []
    for bound, total, traced in histogram.buckets():
        if traced is None:
            found.append((bound, total))
        else:
            ids = {"trace_id": traced.trace_id, "span_id": traced.span_id}
            found.append((bound, total, Exemplar(ids, traced.value, traced.unix)))
    return found
