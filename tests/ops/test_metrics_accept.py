"""A scraper gets the metrics in the format that it wants most."""

import pytest

from forestay.ops.metrics.metrics import choose_format

PLAIN, OPEN = "text/plain; version=0.0.4; charset=utf-8", "application/openmetrics-text; version=1.0.0; charset=utf-8"

PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", PLAIN),
        ("*/*", PLAIN),
        ("text/html", PLAIN),
        ("text/plain", PLAIN),
        ("application/openmetrics-text", OPEN),
        ("APPLICATION/OpenMetrics-Text ; version=1.0.0", PLAIN),
        (PROMETHEUS_2, OPEN),
        ("application/openmetrics-text;q=0.1, text/plain;q=0.9", PLAIN),
        ("application/openmetrics-text; q=0.1, text/plain; version=0.0.4; q=0.9", PLAIN),
        ("text/plain;q=0.1,application/openmetrics-text;version=1.0.0;q=0.9", OPEN),
        ("application/openmetrics-text;q=0", PLAIN),
        ("application/openmetrics-text;q=0.000,*/*", PLAIN),
        ("application/openmetrics-text;version=0.0.1,application/openmetrics-text;version=1.0.0;q=0.5", OPEN),
        ("application/openmetrics-text;q=rubbish", OPEN),
        ("application/openmetrics-text;q=nan,text/plain;q=0.1", OPEN),
        (";;,=,;q", PLAIN),
    ],
)
def test_the_format_with_the_highest_q_value_is_chosen(accept: str, content_type: str) -> None:
    """A format with q=0 is never chosen, and a header that cannot be read is answered in the older text format."""
    assert choose_format(accept)[1].split("; escaping")[0] == content_type


def test_the_header_of_prometheus_3_gets_openmetrics() -> None:
    """Its most wanted format has a q value below 1, and names how names are escaped."""
    assert choose_format(PROMETHEUS_3)[1].startswith("application/openmetrics-text; version=1.0.0")
