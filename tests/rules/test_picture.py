"""The picture of the architecture is drawn from one description, and the import contracts agree with it."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from docs.picture import (
    ARROWS,
    BACKENDS,
    BALANCER,
    CLIENTS,
    COLLECTOR,
    CORE,
    KUBERNETES,
    MESSAGE,
    PICTURE,
    PROMETHEUS,
    REDIS,
    STOREYS,
    Arrow,
    Part,
    draw,
)
from tests.support.repository import ROOT

PARTS = [part.name for storey in (*STOREYS, *CORE) for part in storey]
LIBRARIES = {
    each.name: each.library for each in (CLIENTS, BALANCER, BACKENDS, PROMETHEUS, COLLECTOR, KUBERNETES, REDIS)
}


def test_the_picture_is_what_its_script_draws() -> None:
    """The committed SVG equals what the script draws; if not, run `make architecture-picture`."""
    assert PICTURE.read_text(encoding="utf-8") == draw()


def test_the_picture_needs_nothing_else() -> None:
    """The SVG is well-formed XML and names no file, script or address besides its namespace."""
    text = PICTURE.read_text(encoding="utf-8")
    assert {element.tag.rpartition("}")[2] for element in ET.fromstring(text).iter()} <= {
        *("svg", "title", "style", "defs", "marker", "path", "rect", "circle", "text", "tspan")
    }
    assert re.findall(r"https?://[^\"\s]+|href|@import|url\((?!#)", text) == ["http://www.w3.org/2000/svg"]


@pytest.mark.parametrize(("contract", "storeys"), [("layers point one way", STOREYS), ("inside core", CORE)])
def test_the_storeys_are_the_layers_of_the_contract(contract: str, storeys: Sequence[Sequence[Part]]) -> None:
    """The picture has each layer of a contract and no other, in the same order and in the same company."""
    layers = [set(re.split(r"\s*[|:]\s*", layer)) for layer in _contract(contract)["layers"]]
    assert [{part.name for part in storey} for storey in storeys] == layers


@pytest.mark.parametrize("arrow", ARROWS, ids=lambda arrow: f"{arrow.start} to {arrow.end}")
def test_an_arrow_starts_where_the_contract_allows_it(arrow: Arrow) -> None:
    """A system outside is joined to a layer that may import the library for it, and to no other layer."""
    ends = {arrow.start, arrow.end}
    [library, *_] = [LIBRARIES[end] for end in ends if end in LIBRARIES]
    assert ends & set(PARTS) <= _importers(library)
    assert ends <= {*PARTS, *LIBRARIES}


def test_each_system_outside_has_an_arrow() -> None:
    """Nothing in the picture stands apart."""
    assert set(LIBRARIES) <= {end for arrow in ARROWS for end in (arrow.start, arrow.end)}


def test_each_step_of_a_message_is_in_a_part_of_the_picture() -> None:
    """A step names a layer, or a folder of the core."""
    assert [name for name, _ in MESSAGE if name not in PARTS] == []


def _contracts() -> Sequence[Mapping[str, Any]]:
    contracts: Sequence[Mapping[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))[
        "tool"
    ]["importlinter"]["contracts"]
    return contracts


def _contract(name: str) -> Mapping[str, Any]:
    [found] = [contract for contract in _contracts() if contract["name"] == name]
    return found


def _importers(library: str) -> set[str]:
    """The layers that the contracts let import `library`."""
    allowed = [
        each.split(" -> ")[0]
        for contract in _contracts()
        if library in contract.get("forbidden_modules", ())
        for each in contract.get("ignore_imports", ())
    ]
    return {module.split(".")[1] for module in allowed}
