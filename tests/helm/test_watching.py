"""The dashboard, the alerts and the scrape configuration match the gateway's metrics."""

import json
import re
from typing import Any

from helm.rendering import CHART, read
from tests.support.chart import FULL, MATRIX, READY, chart
from tests.support.exposition import scrape
from tests.support.gateway import gateway
from tests.support.jwks import endpoint
from tests.support.repository import ROOT, files
from tests.support.webhook_receiver import SECRET

METRIC = re.compile(r"\bforestay_\w+")
PROCESS = re.compile(r"\b(?:process|python)_\w+")
# The Python SDK is imported by this name.
# The package, and names that another scraper gives what it reads.
NO_METRIC = {"forestay_client", "forestay_messages_published", "forestay_version"}
# A pod shows the metrics of hooks over HTTP and of an issuer where it has them.
HOOKS = {"hooks_secret": SECRET, "hooks_ask": "call"}


async def test_only_metrics_that_exist_are_named() -> None:
    """Panels, alerts, autoscalers and pages name only metrics that a running gateway has."""
    async with endpoint() as other, gateway(jwks_url=other.url, **HOOKS, hooks_url=other.url) as running:
        there = (await scrape(running.running.internal_port)).names
    asked = json.dumps([chart(values).objects for values in MATRIX.values()])
    written = "".join(page.read_text(encoding="utf-8") for page in files() if page.suffix == ".md")
    assert {"forestay_connections", "forestay_delivery_latency_seconds_bucket"} <= set(METRIC.findall(asked)) <= there
    assert {"process_open_fds", "python_gc_collections_total"} <= set(PROCESS.findall(_queries(chart(FULL)))) <= there
    # A page may name a histogram without its suffix.
    whole = {re.sub(r"_(bucket|sum|count)$", "", name) for name in there}
    assert set(METRIC.findall(written)) - NO_METRIC <= there | whole


def test_every_alert_says_what_to_do() -> None:
    """Every alert has a summary, a severity, and a runbook heading with its name."""
    headings = re.findall(r"^## (\w+)$", (ROOT / "docs/runbooks.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert [alert["alert"] for alert in _alerts(chart(FULL))] == headings
    for alert in _alerts(chart(FULL)):
        assert alert["annotations"]["summary"]
        assert alert["labels"]["severity"] in {"warning", "critical"}
        assert alert["annotations"]["runbook_url"] == f"docs/runbooks.md#{alert['alert'].lower()}"


def test_alerts_are_about_one_release() -> None:
    """Every metric in an alert is selected by the release's namespace and gateway pods."""
    for alert in _alerts(chart(FULL)):
        selectors = re.findall(r"(?:forestay|process)_\w+\{(.*?)\}", alert["expr"])
        assert len(selectors) == len(METRIC.findall(alert["expr"]) + PROCESS.findall(alert["expr"]))
        for selector in selectors:
            assert 'namespace="forestay"' in selector
            [pods] = re.findall(r'pod=~"([^"]+)"', selector)
            assert re.fullmatch(pods, "forestay-6d4cf56db6-x2x7p")
            assert not re.fullmatch(pods, "forestay-redis-6d4cf56db6-x2x7p")
        assert "PODS" not in alert["expr"]


def test_alerts_can_be_left_out_and_added() -> None:
    """Alerts can be left out by name and added, and the runbook's address can be changed."""
    mine = {"alert": "Mine", "expr": "vector(1)"}
    rules = {
        "enabled": True,
        "disabled": ["ForestayImbalanced"],
        "extraRules": [mine],
        "runbookUrl": "https://r.example",
    }
    alerts = _alerts(chart(READY, prometheusRule=rules))
    assert "ForestayImbalanced" not in [alert["alert"] for alert in alerts]
    assert alerts[0]["annotations"]["runbook_url"] == "https://r.example#forestaybusdown"
    assert alerts[-1] == mine


def test_pods_are_scraped_and_not_a_service() -> None:
    """Pods are scraped directly, because a draining pod leaves the Service before it ends."""
    spec = chart(FULL).one("PodMonitor")["spec"]
    assert spec["selector"] == chart(FULL).one("Deployment")["spec"]["selector"]
    assert spec["namespaceSelector"] == {"matchNames": ["forestay"]}
    [endpoint] = spec["podMetricsEndpoints"]
    assert endpoint == {"port": "internal", "path": "/metrics", "interval": "15s", "scrapeTimeout": "10s"}


def test_what_watches_can_live_elsewhere() -> None:
    """Monitoring objects can have another namespace and the labels that the operator selects."""
    place = {"enabled": True, "namespace": "monitoring", "labels": {"release": "prometheus"}}
    rendered = chart(READY, podMonitor=place, prometheusRule=place, dashboard=place)
    made = [rendered.one("PodMonitor"), rendered.one("PrometheusRule"), rendered.one("ConfigMap", "-dashboard")]
    for each in made:
        assert each["metadata"]["namespace"] == "monitoring"
        assert each["metadata"]["labels"]["release"] == "prometheus"
    assert made[2]["metadata"]["labels"]["grafana_dashboard"] == "1"


def test_the_dashboard_is_one() -> None:
    """The dashboard is JSON in rows with unique ids, titles and places, and each query uses the variables."""
    text = chart(FULL).one("ConfigMap", "-dashboard")["data"]["forestay.json"]
    dashboard = json.loads(text)
    assert dashboard == read(CHART / "files" / "dashboard.json")
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels)
    assert len({(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}) == len(panels)
    rows = [panel["title"] for panel in panels if panel["type"] == "row"]
    assert rows == ["Connections", "Delivery", "Bus", "Drain and readiness", "Process"]
    for panel in panels:
        if panel["type"] == "row":
            continue
        assert panel["datasource"]["uid"] == "${datasource}"
        assert panel["description"]
        assert panel["fieldConfig"]["defaults"].get("unit") or panel["options"]["yAxis"]["unit"]
        for target in panel["targets"]:
            assert target["datasource"] == panel["datasource"]
            for selector in re.findall(r"(?:forestay|process|python)_\w+\{(.*?)\}", target["expr"]):
                assert selector.startswith('namespace="$namespace", pod=~"$pod"')


def test_the_latency_panels_lead_to_traces() -> None:
    """The latency panels request exemplars, and one of them is a heatmap of all buckets."""
    panels = json.loads(chart(FULL).one("ConfigMap", "-dashboard")["data"]["forestay.json"])["panels"]
    traced = [panel for panel in panels if any(target.get("exemplar") for target in panel.get("targets", ()))]
    assert [panel["type"] for panel in traced] == ["heatmap", "timeseries", "timeseries"]
    assert all("latency" in panel["title"].lower() for panel in traced)
    [heatmap] = [panel for panel in traced if panel["type"] == "heatmap"]
    assert heatmap["targets"][0]["format"] == "heatmap"


def _queries(rendered: Any) -> str:
    """The queries of the dashboard and of the alerts."""
    return json.dumps([rendered.one("PrometheusRule"), rendered.one("ConfigMap", "-dashboard")])


def _alerts(rendered: Any) -> list[dict[str, Any]]:
    [group] = rendered.one("PrometheusRule")["spec"]["groups"]
    rules: list[dict[str, Any]] = group["rules"]
    return rules
