"""Every SDK passes every scenario."""

import asyncio
import os
from collections.abc import Sequence

import pytest

from clients.conformance.runner import Outcome, Verdict, run
from clients.conformance.scenario import Scenario, scenarios

ALL = scenarios()
# A scenario mostly waits, so many can run at once.
_AT_A_TIME = 3 * (os.cpu_count() or 1)


@pytest.fixture(scope="session")
def outcomes(request: pytest.FixtureRequest, sdk: str, adapter: Sequence[str]) -> dict[str, Outcome]:
    """The results of the selected scenarios. The first test of an SDK waits until all are played."""
    asked = {item.name.partition("[")[2] for item in request.session.items}
    return asyncio.run(_play(adapter, [one for one in ALL if f"{sdk}-{one.name}]" in asked]))


async def _play(adapter: Sequence[str], asked: Sequence[Scenario]) -> dict[str, Outcome]:
    places = asyncio.Semaphore(_AT_A_TIME)

    async def one(scenario: Scenario) -> tuple[str, Outcome]:
        async with places:
            return scenario.name, await run(scenario, adapter)

    return dict(await asyncio.gather(*map(one, asked)))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("scenario", ALL, ids=lambda scenario: scenario.name)
def test_the_sdk_does_what_the_scenario_shows(sdk: str, scenario: Scenario, outcomes: dict[str, Outcome]) -> None:
    """An SDK does what the scenario shows; missing features are named as not run."""
    outcome = outcomes[scenario.name]
    if outcome.verdict is Verdict.UNSUPPORTED:
        pytest.skip(f"{sdk} has no {outcome.words}: {scenario.name}")
    if outcome.verdict is Verdict.NOT_MEANT:
        pytest.skip(f"not meant for {sdk}: {scenario.name} needs {scenario.needs}")
    if outcome.verdict is Verdict.FAILS:
        pytest.fail(f"{scenario.title}\n{outcome.words}", pytrace=False)
