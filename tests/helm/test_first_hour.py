"""The chart as a newcomer meets it: origins, small values for a laptop, notes, and where it says that it comes from."""

import re
import shutil
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest

from forestay.settings.settings import load
from helm.published import publish
from helm.rendering import CHART, Library, read, render
from tests.support.chart import KEYS, READY, chart
from tests.support.repository import ROOT

KIND = read(CHART / "examples/kind.yaml")


def test_origins_reach_the_gateway() -> None:
    """The origins of the values are those of the gateway, in its own form."""
    origins = [
        "https://app.example.com",
        "https://*.example.org",
        "null",
        "capacitor://localhost",
        "HTTPS://App.example:8443",
    ]
    environment = chart(READY, origins=origins).environment
    assert load({"FORESTAY_ALLOWED_ORIGINS": environment["FORESTAY_ALLOWED_ORIGINS"]}).allowed_origins == origins
    assert "FORESTAY_ALLOWED_ORIGINS" not in chart(READY, origins=[]).environment


@pytest.mark.parametrize(
    ("origins", "words"), [([], ["gets 403", "--set 'origins={"]), (["*"], ["pages of every site"]), (["null"], [])]
)
def test_the_notes_say_what_a_browser_gets(origins: list[str], words: list[str]) -> None:
    """Without origins the notes say 403 and the value to set; every page is a warning too, and a list is none."""
    notes = " ".join(chart(READY, origins=origins).notes.split())
    assert ("WARNING: origins" in notes) is bool(words)
    assert [word for word in words if word not in notes] == []


def test_the_values_for_a_laptop_are_small() -> None:
    """One pod, no Redis, no rights in the cluster, an image that is not pulled, and less than 100 MiB requested."""
    rendered = chart({**KEYS, **KIND})
    assert rendered.one("Deployment")["spec"]["replicas"] == 1
    assert "FORESTAY_BUS_URL" not in rendered.environment
    assert [each["kind"] for each in rendered.objects if each["kind"] in ("Role", "PodDisruptionBudget")] == []
    assert (rendered.gateway["image"], rendered.gateway["imagePullPolicy"]) == ("forestay:dev", "Never")
    assert rendered.gateway["resources"]["requests"] == {"cpu": "50m", "memory": "96Mi"}
    assert rendered.pod["terminationGracePeriodSeconds"] == 10
    settings = load(
        {name: text for name, text in rendered.environment.items() if name.startswith("FORESTAY_")}
        | {"FORESTAY_SECRETS_DIR": "", "FORESTAY_ROOMS_FILE": ""}
    )
    assert (settings.demo, settings.max_connections) == (True, 500)


@pytest.mark.parametrize("values", [READY, {**KEYS, **KIND}], ids=["ready", "kind"])
def test_the_notes_have_the_next_commands(values: dict[str, Any]) -> None:
    """The notes have a port-forward, a token, the doctor, the tests, and the pages to read."""
    notes = chart(values).notes
    for command in (
        "kubectl --namespace forestay port-forward service/forestay 8080:8080",
        "kubectl --namespace forestay exec deploy/forestay -- forestay token --user alice --rooms 'chat.*:rwph'",
        "kubectl --namespace forestay exec deploy/forestay -- forestay doctor",
        "helm test forestay --namespace forestay --logs",
    ):
        assert command in notes
    assert "docs/operating.md" in notes
    assert "UPGRADING.md" in notes
    issued = {"auth": {"jwksUrl": "https://issuer.example"}, "redis": {"existingSecret": "bus"}}
    assert "forestay token" not in chart(issued).notes


def test_the_chart_says_where_it_comes_from() -> None:
    """The chart has an icon of its own, maintainers, a licence, its changes, and the image that it installs."""
    facts = read(CHART / "Chart.yaml")
    kind, _, data = facts["icon"].partition(",")
    assert kind == "data:image/svg+xml;base64"
    assert b64decode(data) == (ROOT / "docs/pictures/icon.svg").read_bytes()
    assert [each["name"] for each in facts["maintainers"]]
    annotations = facts["annotations"]
    assert annotations["artifacthub.io/license"] == "Apache-2.0"
    assert re.search(r"image: forestay:\d", annotations["artifacthub.io/images"])
    assert annotations["artifacthub.io/changes"]


def test_a_published_chart_knows_its_home(tmp_path: Path) -> None:
    """Publishing writes home, sources, links and the image; notes and alerts then have full addresses."""
    shutil.copytree(CHART, tmp_path / "forestay")
    url = "https://code.example/team/forestay"
    publish(tmp_path / "forestay", url, "images.example", "team/forestay")
    facts = read(tmp_path / "forestay/Chart.yaml")
    assert (facts["home"], facts["sources"]) == (url, [url])
    assert f"url: {url}/blob/main/UPGRADING.md" in facts["annotations"]["artifacthub.io/links"]
    assert "image: images.example/team/forestay:0.1.0" in facts["annotations"]["artifacthub.io/images"]
    library = Library(tmp_path / "forestay")
    try:
        rendered = render({**READY, "prometheusRule": {"enabled": True}}, by=library)
    finally:
        library.close()
    assert f"{url}/blob/v0.1.0/docs/operating.md" in rendered.notes
    objects = {each["kind"]: each for each in rendered.objects}
    [container] = objects["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "images.example/team/forestay:0.1.0"
    rules = objects["PrometheusRule"]["spec"]["groups"][0]["rules"]
    assert rules[0]["annotations"]["runbook_url"].startswith(f"{url}/blob/v0.1.0/docs/runbooks.md#forestay")
