"""Files generated from the chart, and files that refer to it, agree with it."""

import re
import tomllib
from pathlib import Path
from typing import Any

import yaml

import forestay
from forestay.settings.secrets import variable_of
from forestay.settings.settings import Settings
from helm.manifests import FOLDER, manifests, written
from helm.rendering import CHART, read
from helm.values_table import README, SETTINGS, page, settings
from tests.support.chart import MATRIX, READY, chart
from tests.support.repository import ROOT


def test_the_table_of_values_is_in_sync() -> None:
    """The table of values is as `make chart-docs` writes it."""
    assert README.read_text(encoding="utf-8") == page()


def test_the_chart_knows_all_settings() -> None:
    """The list of settings by which the chart refuses others is as `make chart-docs` writes it."""
    assert SETTINGS.read_text(encoding="utf-8") == settings()


def test_the_plain_manifests_are_what_the_chart_comes_to() -> None:
    """k8s/ has exactly the files that `make manifests` writes."""
    assert {path.name: path.read_text(encoding="utf-8") for path in written()} == manifests()


def test_the_plain_manifests_have_no_owner() -> None:
    """Kustomize applies all manifests, none has Helm's labels, and the user makes the Secret."""
    resources = read(FOLDER / "kustomization.yaml")["resources"]
    assert {*resources, "kustomization.yaml"} == {path.name for path in written()}
    for name in resources:
        text = (FOLDER / name).read_text(encoding="utf-8")
        assert "Helm" not in text
        assert "helm.sh" not in text
        assert yaml.safe_load(text)["kind"] != "Secret"
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    values = read(FOLDER / "values.yaml")
    assert f"secret generic {values['auth']['existingSecret']} " in page
    for key in ("jwt-secret", "api-key", "redis-url"):
        assert f"--from-literal={key}=" in page


def test_skaffold_refers_to_what_there_is() -> None:
    """Skaffold names existing files, values and objects."""
    config = read(ROOT / "skaffold.yaml")
    assert re.fullmatch(r"skaffold/v\d+(alpha|beta)?\d*", config["apiVersion"])
    assert config["kind"] == "Config"
    [artifact] = config["build"]["artifacts"]
    assert (ROOT / artifact["context"] / artifact["docker"]["dockerfile"]).is_file()
    [synced] = artifact["sync"]["manual"]
    assert list(ROOT.glob(synced["src"]))
    [release] = config["deploy"]["helm"]["releases"]
    assert (ROOT / release["chartPath"]).resolve() == CHART
    assert [ROOT / path for path in release["valuesFiles"]] == [CHART.parent / "dev-values.yaml"]
    assert artifact["image"] == read(CHART / "values.yaml")["image"]["repository"]
    for path, template in release["setValueTemplates"].items():
        assert _at(read(CHART / "values.yaml"), path) is not None
        assert template.endswith(f"_{artifact['image']}}}}}")
    rendered = chart(MATRIX["development"])
    services = {service["metadata"]["name"]: service for service in rendered.all("Service")}
    for forward in config["portForward"]:
        ports = services[forward["resourceName"]]["spec"]["ports"]
        assert forward["port"] in [port["port"] for port in ports]
        assert forward["namespace"] == release["namespace"]
    [hook] = config["deploy"]["helm"]["hooks"]["before"]
    assert f"secret generic {MATRIX['development']['auth']['existingSecret']}" in hook["host"]["command"][-1]
    assert synced["dest"] in [mount["mountPath"] for mount in rendered.gateway["volumeMounts"]]
    compile(rendered.gateway["args"][0], "dev-values.yaml", "exec")
    compile(rendered.pod["initContainers"][0]["args"][0], "dev-values.yaml", "exec")


def test_the_image_is_what_the_chart_expects() -> None:
    """The image has the chart's user and ports, and the package that queries the cluster."""
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    gateway = chart(READY).gateway
    context = gateway["securityContext"]
    assert f"\nUSER {context['runAsUser']}:{context['runAsGroup']}\n" in dockerfile
    ports = " ".join(str(port["containerPort"]) for port in gateway["ports"])
    assert f"\nEXPOSE {ports}\n" in dockerfile
    assert re.search(r"^kubernetes==", (ROOT / "requirements/runtime.txt").read_text(encoding="utf-8"), re.MULTILINE)


def test_the_builder_sees_what_the_image_is_made_of() -> None:
    """Everything that the Dockerfile copies exists and passes .dockerignore."""
    allowed = {
        line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line.startswith("!")
    }
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    for sources in re.findall(r"^COPY (?!--from)(.*) \S+$", dockerfile, re.MULTILINE):
        for source in sources.split():
            assert Path(source).parts[0] in allowed
            assert (ROOT / source).exists()


def test_one_version() -> None:
    """The chart has the version and the licence of this tree."""
    about = read(CHART / "Chart.yaml")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert about["appVersion"] == forestay.__version__
    assert f"forestay:{about['appVersion']}" in about["annotations"]["artifacthub.io/images"]
    assert about["annotations"]["artifacthub.io/license"] == project["license"]
    assert about["description"] == project["description"]
    assert about["kubeVersion"] == ">=1.30.0-0"


def test_the_chart_knows_the_gateways_settings() -> None:
    """Every FORESTAY_ variable that the chart sets or refuses is a setting of the gateway."""
    known = {variable_of(name) for name in Settings.model_fields}
    text = "".join(path.read_text(encoding="utf-8") for path in (CHART / "templates").glob("*.tpl"))
    assert set(re.findall(r"FORESTAY_[A-Z_]+[A-Z]", text)) - {f"{name}_FILE" for name in known} - known == set()


def _at(values: Any, path: str) -> Any:
    for name in path.split("."):
        values = values[name]
    return values
