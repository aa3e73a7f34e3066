"""Each alert fires when it should, and does not when it should not, as Prometheus' own tool sees it."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.chart import FULL, chart
from tests.support.prometheus import MISSING, TOOL, promtool
from tests.support.repository import ROOT

CASES = ROOT / "tests/helm/alerts.yaml"

needs_promtool = pytest.mark.skipif(TOOL is None, reason=MISSING)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The rules of a release, and the cases beside them."""
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules()))
    shutil.copy(CASES, tmp_path)
    return tmp_path


@needs_promtool
def test_the_rules_are_rules(folder: Path) -> None:
    """Every one can be read."""
    assert f"SUCCESS: {len(alerts())} rules found" in promtool("check", "rules", "rules.yaml", folder=folder)


@needs_promtool
def test_alerts_fire_when_they_should(folder: Path) -> None:
    """In every case of the file, with the words that somebody is woken by."""
    assert "SUCCESS" in promtool("test", "rules", CASES.name, folder=folder)


def test_every_alert_is_seen_to_fire_and_not_to() -> None:
    """The file has a moment of either kind for each."""
    moments = [
        (moment["alertname"], "exp_alerts" in moment)
        for case in yaml.safe_load(CASES.read_text(encoding="utf-8"))["tests"]
        for moment in case["alert_rule_test"]
    ]
    assert set(moments) == {(alert, fires) for alert in alerts() for fires in (False, True)}


def test_a_drain_is_overdue_when_its_time_is_up() -> None:
    """The time is what the chart gives the gateway from SIGTERM on."""
    deadline = chart(FULL).environment["FORESTAY_DRAIN_DEADLINE"]
    [overdue] = [rule for rule in rules()["groups"][0]["rules"] if rule["alert"] == "ForestayDrainOverdue"]
    assert overdue["for"] == f"{deadline}s"


def rules() -> dict[str, Any]:
    spec: dict[str, Any] = chart(FULL).one("PrometheusRule")["spec"]
    return spec


def alerts() -> list[str]:
    return [rule["alert"] for rule in rules()["groups"][0]["rules"]]
