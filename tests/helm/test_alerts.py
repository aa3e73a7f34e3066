"""Each alert fires when it should and only then, by Prometheus' own rule tests."""

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
    """A folder with the rules of a release and the test cases."""
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules()))
    shutil.copy(CASES, tmp_path)
    return tmp_path


@needs_promtool
def test_the_rules_are_valid(folder: Path) -> None:
    """Prometheus accepts every rule."""
    assert f"SUCCESS: {len(alerts())} rules found" in promtool("check", "rules", "rules.yaml", folder=folder)


@needs_promtool
def test_alerts_fire_when_they_should(folder: Path) -> None:
    """In each case of the file the alert fires with the expected text."""
    assert "SUCCESS" in promtool("test", "rules", CASES.name, folder=folder)


def test_every_alert_has_a_case_for_firing_and_for_silence() -> None:
    """The file has a moment for each alert where it fires, and one where it does not."""
    moments = [
        (moment["alertname"], "exp_alerts" in moment)
        for case in yaml.safe_load(CASES.read_text(encoding="utf-8"))["tests"]
        for moment in case["alert_rule_test"]
    ]
    assert set(moments) == {(alert, fires) for alert in alerts() for fires in (False, True)}


def test_a_drain_is_overdue_when_its_time_is_up() -> None:
    """The alert for an overdue drain waits as long as the chart gives the gateway from SIGTERM on."""
    deadline = chart(FULL).environment["FORESTAY_DRAIN_DEADLINE"]
    [overdue] = [rule for rule in rules()["groups"][0]["rules"] if rule["alert"] == "ForestayDrainOverdue"]
    assert overdue["for"] == f"{deadline}s"


def rules() -> dict[str, Any]:
    spec: dict[str, Any] = chart(FULL).one("PrometheusRule")["spec"]
    return spec


def alerts() -> list[str]:
    return [rule["alert"] for rule in rules()["groups"][0]["rules"]]
