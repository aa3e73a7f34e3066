"""Takes messages of clients into rooms without and with a hook in Python: one pod, and neither sockets nor the kernel.

`bench.hooks` runs it with each Python that it compares. It prints the microseconds of CPU of a message, as JSON.
"""

import asyncio
import json
import random
import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from bench.road_inside import ROOMS, NoTokens, connect, feed
from forestay.core.ports.hook_events import BroadcastEvent
from forestay.core.ports.hooks import Allow, Refuse
from forestay.core.rules.hooks import Hook
from forestay.core.rules.policies import Policies, Policy
from forestay.edge.websocket.group_writes import group_writer
from forestay.edge.websocket.open_sockets import MessageLimits, OpenSockets
from forestay.hooks.loading import HookModule
from forestay.hooks.python_form import PythonHooks
from forestay.pod.event_loops import choose
from forestay.pod.hooks import Application
from forestay.pod.links import link
from forestay.pod.tasks import Supervisor
from forestay.pod.telemetry import observe
from forestay.pod.wiring import Observed, assemble
from forestay.settings.settings import load
from forestay.terminal.crowd import message

MEMBERS = 2
ASKED = Policy(pattern="bench.**", hooks=frozenset({Hook.BROADCAST}))


async def at_once(event: BroadcastEvent) -> Allow | Refuse:
    """The hook: it looks at the message and returns at once."""
    return Allow() if event.payload else Refuse("empty", "say something")


def application() -> Application:
    """What asks the hook."""
    module = HookModule(sys.modules[__name__], {Hook.BROADCAST: at_once})
    return Application(PythonHooks(module), frozenset(), module.immediate)


async def cost(number: int, policies: Policies, asked: Application | None) -> float:
    """Microseconds of CPU of a message."""
    rates = {"message_rate": 1e6, "message_burst": 1e6, "message_bytes_rate": 1e9}
    settings = load({}, **rates, flush_rest=0, jwt_secret="x" * 32)
    seen = observe(settings, asyncio.get_running_loop())
    observed = Observed(seen.observer, seen.tracing, seen.counts.traffic)
    links = replace(link(settings, seen.observer, Supervisor(random.uniform)), application=asked)
    pod = assemble(settings, policies, links, NoTokens(), observed, group_writer())
    sockets = OpenSockets(MessageLimits(30.0, 1024), lambda: None)
    calls, sinks = [], []
    for name in (f"bench.{at}" for at in range(ROOMS)):
        for _ in range(MEMBERS):
            receiver, sink = await connect(pod, settings, sockets, name)
            calls.append(partial(receiver.data_received, message(name)))
            sinks.append(sink)
    await feed(calls, number // 4, 1)
    idle = await feed([partial(len, b"")], number, 1)
    busy = await feed(calls, number, 1)
    # Where a hook needs a turn of the loop, the last messages are still under way.
    for _ in range(10):
        await asyncio.sleep(0)
    written = sum(sink.writes for sink in sinks)
    if written < number * MEMBERS:
        raise RuntimeError(f"{written} writes for {number} messages to {MEMBERS} members")
    return (busy - idle) / number * 1e6


async def measure(number: int) -> Mapping[str, float]:
    """All figures of one round."""
    return {
        "no hooks": await cost(number, Policies(), None),
        "hooks elsewhere": await cost(number, Policies(), application()),
        "hook": await cost(number, Policies([ASKED]), application()),
    }


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=choose("auto")) as runner:
        print(json.dumps(runner.run(measure(int(sys.argv[1])))))
