"""The values of docs/tokens.md make a pod that knows the issuer and the rights by roles."""

import random
from pathlib import Path

import yaml

from forestay.pod.inputs import prepare
from forestay.pod.tasks import Supervisor
from forestay.settings.settings import load
from tests.support.chart import chart
from tests.support.tokens_page import block, settings_of


def test_the_values_of_the_page_are_the_settings_of_the_page(tmp_path: Path) -> None:
    """The variables are those of the section about Keycloak, and the pod starts with them and with the file."""
    rendered = chart(yaml.safe_load(block("In the cluster", "yaml")), redis={"enabled": True})
    environment = rendered.environment
    expected = {f"FORESTAY_{name.upper()}": value for name, value in settings_of("Keycloak").items()}
    assert {name: environment[name] for name in expected} == expected
    file = tmp_path / "rooms.toml"
    file.write_text(rendered.one("ConfigMap", "-rooms")["data"]["rooms.toml"])
    settings = load({**expected, "FORESTAY_ROOMS_FILE": str(file)})
    assert prepare(settings, Supervisor(random.uniform)).claim_rights is not None
