"""Runs all checks of `forestay doctor`, each within its time. A check that fails itself does not keep the others."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence

from forestay.pod import inputs
from forestay.pod.diagnosis.configuration import check_files, check_origins, check_settings
from forestay.pod.diagnosis.findings import Diagnosis, Finding, fail, warn
from forestay.pod.diagnosis.outside import check_cluster, check_keys, check_receiver, check_redis
from forestay.pod.diagnosis.ports import check_port
from forestay.pod.inputs import Parts
from forestay.pod.tasks import Supervisor
from forestay.settings.settings import Settings, SettingsError, explain_unknown, load, pod_identity


def examine(within: float) -> Diagnosis:
    """Check what a gateway with the settings of this process needs. `within`: seconds for each check."""
    try:
        settings = load()
        parts = inputs.prepare(settings, Supervisor(random.uniform))
    except SettingsError as error:
        problems = [fail("settings", line) for line in error.problems]
        return Diagnosis([*problems, *(warn("settings", line) for line in explain_unknown())])
    return Diagnosis(asyncio.run(diagnose(settings, parts, within)))


async def diagnose(settings: Settings, parts: Parts, within: float) -> Sequence[Finding]:
    """Run all checks with settings that are valid. `within`: seconds for each check."""
    here = [*check_settings(settings, parts), check_origins(settings), check_files(settings)]
    checks: dict[str, Callable[[], Awaitable[Sequence[Finding]]]] = {
        "ports": lambda: _ports(settings, within),
        "redis": lambda: check_redis(settings, within),
        "keys": lambda: check_keys(settings, parts.keys, within),
        "hooks": lambda: check_receiver("hooks", settings.hooks_url, settings.hooks_ca, within),
        "webhooks": lambda: check_receiver("webhooks", settings.webhooks_url, settings.webhooks_ca, within),
        "cluster": lambda: check_cluster(settings, pod_identity()),
    }
    found = await asyncio.gather(*(_within(within, name, check) for name, check in checks.items()))
    return [*here, *(finding for findings in found for finding in findings)]


async def _ports(settings: Settings, within: float) -> Sequence[Finding]:
    return await asyncio.gather(*(check_port(settings, name, within / 2) for name in ("port", "internal_port")))


async def _within(seconds: float, name: str, check: Callable[[], Awaitable[Sequence[Finding]]]) -> Sequence[Finding]:
    try:
        # A check that limits its own time can say more, so it gets a moment more than it takes.
        async with asyncio.timeout(seconds + 1):
            return await check()
    except TimeoutError:
        return [fail(name, f"no answer within {seconds:g} s", "check the address and the network, or raise --timeout")]
    except Exception as bug:  # noqa: BLE001 - the other findings are worth more than this one
        return [fail(name, f"the check itself failed ({type(bug).__name__})", "please report it")]
