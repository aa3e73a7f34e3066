"""The import rules of ARCHITECTURE.md hold, and every contract that checks them can fail."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.repository import ROOT


@dataclass(frozen=True, slots=True)
class Break:
    """A forbidden import, added to an existing module."""

    contract: str
    importer: str
    imported: str

    def __str__(self) -> str:
        return f"{self.importer} -> {self.imported}"


BREAKS = [
    Break("layers point one way", "forestay.bus.memory.bus", "forestay.edge.tokens.verifier"),
    Break("layers point one way", "forestay.core.sessions.dispatcher", "forestay.bus.memory.bus"),
    Break("layers point one way", "forestay.protocol.names", "forestay.core.fanout.rooms"),
    Break("inside core", "forestay.core.fanout.rooms", "forestay.core.sessions.dispatcher"),
    Break("inside core.sessions", "forestay.core.sessions.keepalive", "forestay.core.sessions.dispatcher"),
    Break("inside core.cluster", "forestay.core.cluster.revocations", "forestay.core.cluster.control"),
    Break("inside core.rooms", "forestay.core.rooms.membership", "forestay.core.rooms.joins"),
    Break("inside core.fanout", "forestay.core.fanout.slow", "forestay.core.fanout.outbox"),
    Break("inside core.ports", "forestay.core.ports.bus", "forestay.core.ports.registry"),
    Break("inside core.facts", "forestay.core.facts.histogram", "forestay.core.facts.traffic"),
    Break("inside core.rules", "forestay.core.rules.access", "forestay.core.rules.policies"),
    Break("inside the Redis bus", "forestay.bus.redis.client.node", "forestay.bus.redis.topology.cluster"),
    Break("inside the Redis bus", "forestay.bus.redis.keys", "forestay.bus.redis.client.address"),
    Break("inside the Redis client", "forestay.bus.redis.client.link", "forestay.bus.redis.client.pipeline"),
    Break("inside edge", "forestay.edge.websocket.frames", "forestay.edge.handshake.admission"),
    Break("inside protocol", "forestay.protocol.names", "forestay.protocol.v1.encoder"),
    Break("only the composition root reads settings", "forestay.ops.moves.drain", "forestay.settings"),
    Break("the protocol has no clock, loop, socket or random numbers", "forestay.protocol.v1.reader", "asyncio"),
    Break("the protocol has no clock, loop, socket or random numbers", "forestay.protocol.message", "random"),
    Break("the core is given its time and random numbers, and has no socket", "forestay.core.rules.rate_limit", "time"),
    Break("core and protocol know no vendor", "forestay.core.sessions.dispatcher", "structlog"),
    Break("Redis only behind the bus", "forestay.core.sessions.dispatcher", "redis"),
    Break(
        "aiohttp only where HTTP is spoken",
        "forestay.ops.moves.drain",
        "aiohttp",
    ),
    Break("tokens are read and minted in one place", "forestay.cli", "jwt"),
    Break("metrics are counted in one place", "forestay.edge.websocket.websocket", "prometheus_client"),
    Break("spans are made in one place", "forestay.core.sessions.dispatcher", "opentelemetry"),
    Break("inside webhooks", "forestay.outbound.webhooks.batch", "forestay.outbound.webhooks.delivery"),
    Break("inside outbound.hooks", "forestay.outbound.hooks.breaker", "forestay.outbound.hooks.http_hooks"),
    Break("inside outbound", "forestay.outbound.signature", "forestay.outbound.webhooks.batch"),
    Break("inside core.hooks", "forestay.core.hooks.decisions", "forestay.core.hooks.hooks"),
    Break("layers point one way", "forestay.terminal.rooms", "forestay.pod.server"),
    Break("the gateway needs no client", "forestay.terminal.load", "forestay_client"),
    Break("the cluster is asked in one place", "forestay.pod.server", "kubernetes"),
]


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of app/ and its contracts, for changes."""
    tree = tmp_path_factory.mktemp("contracts")
    shutil.copytree(ROOT / "app", tree / "app", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tree)
    return tree


@pytest.fixture(scope="module")
def broken(scratch: Path) -> dict[str, str]:
    """The report of import-linter for each contract with all the breaks in place, by the contract's name."""
    for each in BREAKS:
        module = scratch / "app" / f"{each.importer.replace('.', '/')}.py"
        with module.open("a", encoding="utf-8") as source:
            source.write(f"\nimport {each.imported}\n")
    return dict(re.findall(r"^([^\n]+)\n-+\n(.*?)(?=^[^\n]+\n-+\n|\Z)", _lint(scratch), re.DOTALL | re.MULTILINE))


def test_the_arrows_point_one_way() -> None:
    """Every contract holds for the tree."""
    report = _lint(ROOT)
    assert " 0 broken" in report, report


@pytest.mark.parametrize("each", BREAKS, ids=str)
def test_a_forbidden_import_is_refused(broken: dict[str, str], each: Break) -> None:
    """A contract names the import that breaks it."""
    assert re.search(rf"{re.escape(each.importer)} -> {re.escape(each.imported)}\b", broken[each.contract])


def test_no_contract_goes_untried() -> None:
    """Each contract is broken here at least once, because a contract that cannot fail proves nothing."""
    configured = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    assert {contract["name"] for contract in configured["contracts"]} == {each.contract for each in BREAKS}


def _lint(tree: Path) -> str:
    """The report of import-linter for the copy of app/ in `tree`."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-logo", "--no-cache"]
    # The path comes first, so that the copy is linted and not the installed package.
    environ = os.environ | {"PYTHONPATH": str(tree / "app")}
    return subprocess.run(command, cwd=tree, env=environ, check=False, capture_output=True, text=True).stdout
