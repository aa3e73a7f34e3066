"""Every SDK passes every scenario."""

import asyncio
import os
from collections.abc import Sequence

import pytest

from clients.conformance.runner import Outcome, Verdict, run
from clients.conformance.scenario import WEBSOCKET, scenarios

ALL = {
    scenario.name if over == WEBSOCKET else f"{scenario.name}-over-{over}": (scenario, over)
    for scenario in scenarios()
    for over in scenario.over
}
# A scenario mostly waits, so many can run at once.
_AT_A_TIME = 5 * (os.cpu_count() or 1)


@pytest.fixture(scope="session")
def outcomes(request: pytest.FixtureRequest, sdk: str, adapter: Sequence[str]) -> dict[str, Outcome]:
    """The results of the selected scenarios. The first test of an SDK waits until all are played."""
    asked = {item.name.partition("[")[2] for item in request.session.items}
    return asyncio.run(_play(adapter, [one for one in ALL if f"{sdk}-{one}]" in asked]))


async def _play(adapter: Sequence[str], asked: Sequence[str]) -> dict[str, Outcome]:
    places = asyncio.Semaphore(_AT_A_TIME)

    async def one(name: str) -> tuple[str, Outcome]:
        scenario, over = ALL[name]
        async with places:
            return name, await run(scenario, adapter, over)

    return dict(await asyncio.gather(*map(one, asked)))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", ALL)
def test_the_sdk_does_what_the_scenario_shows(sdk: str, name: str, outcomes: dict[str, Outcome]) -> None:
    """An SDK does what the scenario shows, over WebSockets and streams; missing features are named as not run."""
    scenario, _ = ALL[name]
    outcome = outcomes[name]
    if outcome.verdict is Verdict.UNSUPPORTED:
        pytest.skip(f"{sdk} has no {outcome.words}: {name}")
    if outcome.verdict is Verdict.NOT_MEANT:
        pytest.skip(f"not meant for {sdk}: {name} needs {scenario.needs}")
    if outcome.verdict is Verdict.FAILS:
        pytest.fail(f"{scenario.title}\n{outcome.words}", pytrace=False)
