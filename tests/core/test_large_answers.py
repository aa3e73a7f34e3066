"""Large answers take turns, so that many clients that ask at once do not hold the loop."""

import asyncio

from forestay.core.rules.policies import Policy, Retention
from tests.support.core import Core, passes

KEPT = Policy("**", history=Retention(100, 3600.0), presence=True)
RIGHTS = {"**": "rwph"}
CLIENTS = 10


async def test_one_large_answer_is_made_in_each_step_of_the_loop() -> None:
    """Ten clients ask for a page at the same moment. Between two pages everything else on the pod gets its turn."""
    core = Core(KEPT)
    speaker, _ = core.connect(rooms=RIGHTS)
    for number in range(20):
        core.say(speaker, type="broadcast", room="a", payload=[number, "x" * 1000])
    asking = [core.connect(rooms=RIGHTS) for _ in range(CLIENTS)]
    for kind in ("history", "presence"):
        await passes()
        for _, transport in asking:
            transport.writes.clear()
        tasks = [asyncio.ensure_future(core.ask(connection, type=kind, room="a")) for connection, _ in asking]
        steps = []
        while not all(task.done() for task in tasks):
            await asyncio.sleep(0)
            steps.append(sum(len(transport.writes) + len(one.answers) for one, transport in asking))
        made = [after - before for before, after in zip([0, *steps], steps, strict=False)]
        assert max(made) == 1
        assert sum(made) == CLIENTS


async def test_a_client_that_has_gone_leaves_the_turn_to_the_next_one() -> None:
    """A request that is cancelled while it waits for its turn gets no answer, and keeps no other one waiting."""
    core = Core(KEPT)
    asking = [core.connect(rooms=RIGHTS) for _ in range(3)]
    tasks = [asyncio.ensure_future(core.ask(connection, type="history", room="a")) for connection, _ in asking]
    await asyncio.sleep(0)
    tasks[1].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(0)
    kinds = [[heard["type"] for heard in transport.heard()] for _, transport in asking]
    assert ["history" in heard for heard in kinds] == [True, False, True]
