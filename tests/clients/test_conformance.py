"""Every SDK does what every scenario shows."""

import asyncio
import os

import pytest

from clients.conformance.runner import Outcome, Verdict, run
from clients.conformance.scenario import Scenario, scenarios
from clients.conformance.sdks import NAMES, Lacking, command

ALL = scenarios()
# Most of a scenario is waiting.
_AT_A_TIME = 2 * (os.cpu_count() or 1)


@pytest.fixture(scope="session")
def outcomes(request: pytest.FixtureRequest) -> dict[tuple[str, str], Outcome]:
    """What came of the scenarios that were asked for, played side by side."""
    asked = {item.name.partition("[")[2] for item in request.session.items}
    return asyncio.run(_play([(sdk, one) for sdk in NAMES for one in ALL if f"{sdk}-{one.name}]" in asked]))


async def _play(asked: list[tuple[str, Scenario]]) -> dict[tuple[str, str], Outcome]:
    places = asyncio.Semaphore(_AT_A_TIME)

    async def one(sdk: str, scenario: Scenario) -> tuple[tuple[str, str], Outcome]:
        try:
            adapter = command(sdk)
        except Lacking as lacking:
            return (sdk, scenario.name), Outcome(Verdict.NOT_RUN, str(lacking))
        async with places:
            return (sdk, scenario.name), await run(scenario, adapter)

    return dict(await asyncio.gather(*(one(sdk, scenario) for sdk, scenario in asked)))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("scenario", ALL, ids=lambda scenario: scenario.name)
@pytest.mark.parametrize("sdk", NAMES)
def test_the_sdk_does_what_the_scenario_shows(
    sdk: str, scenario: Scenario, outcomes: dict[tuple[str, str], Outcome]
) -> None:
    """What an SDK has no feature for is named as not run."""
    outcome = outcomes[sdk, scenario.name]
    if outcome.verdict is Verdict.NOT_RUN:
        pytest.skip(outcome.words)
    if outcome.verdict is Verdict.UNSUPPORTED:
        pytest.skip(f"{sdk} has no {outcome.words}: {scenario.name}")
    if outcome.verdict is Verdict.FAILS:
        pytest.fail(f"{scenario.title}\n{outcome.words}", pytrace=False)
