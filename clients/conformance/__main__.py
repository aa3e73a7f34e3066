"""`python -m clients.conformance --sdk NAME`, or `-- COMMAND …` for an adapter of your own."""

import argparse
import asyncio
import sys
from collections.abc import Sequence

from clients.conformance.runner import Outcome, Verdict, run
from clients.conformance.scenario import BOTH, WEBSOCKET, Scenario, scenarios
from clients.conformance.sdks import NAMES, Lacking, command


async def main() -> int:
    """Run what was asked for, and say what holds. The exit status is 1 where a scenario fails."""
    given = _arguments()
    chosen = [one for one in scenarios() if not given.only or any(word in one.name for word in given.only)]
    if given.list:
        for scenario in chosen:
            print(f"{scenario.name:<44} {scenario.title}")
        return 0
    try:
        adapter = given.command or command(given.sdk)
    except Lacking as lacking:
        print(f"{given.sdk}: {lacking}", file=sys.stderr)
        return 2
    outcomes = await _all([one for one in chosen if given.over in one.over], adapter, given)
    for scenario, outcome in outcomes:
        if outcome.verdict is not Verdict.HOLDS:
            print(f"\n{scenario.name}: {scenario.title}\n{outcome.verdict.value}: {outcome.words}")
    verdicts = [outcome.verdict for _, outcome in outcomes]
    print("\n" + ", ".join(f"{verdicts.count(one)} {one.name.lower().replace('_', ' ')}" for one in Verdict))
    return int(Verdict.FAILS in verdicts or not verdicts)


async def _all(
    chosen: Sequence[Scenario], adapter: Sequence[str], given: argparse.Namespace
) -> list[tuple[Scenario, Outcome]]:
    places = asyncio.Semaphore(given.jobs)

    async def one(scenario: Scenario) -> tuple[Scenario, Outcome]:
        async with places:
            outcome = await run(scenario, adapter, given.over)
        print(f"{outcome.verdict.value:<26} {scenario.name}", flush=True)
        return scenario, outcome

    return await asyncio.gather(*map(one, chosen))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m clients.conformance", description=__doc__)
    parser.add_argument("--sdk", choices=NAMES, default="python", help="one of ours (python)")
    parser.add_argument("--only", nargs="+", metavar="WORD", help="scenarios whose name has one of these words in it")
    parser.add_argument("--over", choices=BOTH, default=WEBSOCKET, help="what carries the connections (websocket)")
    parser.add_argument("--jobs", type=int, default=4, help="scenarios at a time (4)")
    parser.add_argument("--list", action="store_true", help="name the scenarios and run none")
    parser.add_argument("command", nargs="*", metavar="-- COMMAND", help="what starts an adapter of your own")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(asyncio.run(main()))
