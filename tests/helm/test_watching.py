"""Dashboard, alerts and scraping speak of what the gateway counts."""

import json
import re
from typing import Any

from helm.rendering import CHART, read
from tests.support.chart import FULL, READY, chart
from tests.support.repository import ROOT, codes, rows

METRIC = re.compile(r"\bforestay_\w+")


def test_they_name_only_metrics_that_exist() -> None:
    """Each metric in the dashboard and in the alerts is on the page of metrics, which a test holds to /metrics."""
    text = json.dumps([chart(FULL).one("PrometheusRule"), chart(FULL).one("ConfigMap", "-dashboard")])
    named = {re.sub(r"_(bucket|sum|count)$", "", name) for name in METRIC.findall(text)}
    listed = {code.split("{")[0] for row in rows("docs/operating.md") for code in codes(row[0])}
    assert "forestay_connections" in named
    assert named - listed == set()


def test_every_alert_says_what_to_do() -> None:
    """A summary, a severity, and a page with its name as a heading."""
    headings = re.findall(r"^## (\w+)$", (ROOT / "docs/runbooks.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert [alert["alert"] for alert in _alerts(chart(FULL))] == headings
    for alert in _alerts(chart(FULL)):
        assert alert["annotations"]["summary"]
        assert alert["labels"]["severity"] in {"warning", "critical"}
        assert alert["annotations"]["runbook_url"] == f"docs/runbooks.md#{alert['alert'].lower()}"


def test_alerts_are_about_one_release() -> None:
    """Every metric in them is asked of its namespace and its gateways, not of its Redis."""
    for alert in _alerts(chart(FULL)):
        selectors = re.findall(r"forestay_\w+\{(.*?)\}", alert["expr"])
        assert len(selectors) == len(METRIC.findall(alert["expr"]))
        for selector in selectors:
            assert 'namespace="forestay"' in selector
            [pods] = re.findall(r'pod=~"([^"]+)"', selector)
            assert re.fullmatch(pods, "forestay-6d4cf56db6-x2x7p")
            assert not re.fullmatch(pods, "forestay-redis-6d4cf56db6-x2x7p")
        assert "PODS" not in alert["expr"]


def test_alerts_can_be_left_out_and_added() -> None:
    """By name; the page can be anywhere."""
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
    """A pod that drains falls out of a Service, and is scraped to its end as a pod."""
    spec = chart(FULL).one("PodMonitor")["spec"]
    assert spec["selector"] == chart(FULL).one("Deployment")["spec"]["selector"]
    assert spec["namespaceSelector"] == {"matchNames": ["forestay"]}
    [endpoint] = spec["podMetricsEndpoints"]
    assert endpoint == {"port": "internal", "path": "/metrics", "interval": "15s", "scrapeTimeout": "10s"}


def test_what_watches_can_live_elsewhere() -> None:
    """In the namespace of the monitoring, with the labels that it looks for."""
    place = {"enabled": True, "namespace": "monitoring", "labels": {"release": "prometheus"}}
    rendered = chart(READY, podMonitor=place, prometheusRule=place, dashboard=place)
    made = [rendered.one("PodMonitor"), rendered.one("PrometheusRule"), rendered.one("ConfigMap", "-dashboard")]
    for each in made:
        assert each["metadata"]["namespace"] == "monitoring"
        assert each["metadata"]["labels"]["release"] == "prometheus"
    assert made[2]["metadata"]["labels"]["grafana_dashboard"] == "1"


def test_the_dashboard_is_one() -> None:
    """It is JSON, no two panels share a number or a place, and each asks the data source that was chosen."""
    text = chart(FULL).one("ConfigMap", "-dashboard")["data"]["forestay.json"]
    dashboard = json.loads(text)
    assert dashboard == read(CHART / "files" / "dashboard.json")
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels)
    assert len({(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}) == len(panels)
    for panel in panels:
        assert panel["datasource"]["uid"] == "${datasource}"
        for target in panel["targets"]:
            for selector in re.findall(r"forestay_\w+\{(.*?)\}", target["expr"]):
                assert selector.startswith('namespace="$namespace", pod=~"$pod"')


def _alerts(rendered: Any) -> list[dict[str, Any]]:
    [group] = rendered.one("PrometheusRule")["spec"]["groups"]
    rules: list[dict[str, Any]] = group["rules"]
    return rules
