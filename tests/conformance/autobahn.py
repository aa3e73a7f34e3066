"""Runs the Autobahn suite against our edge: 517 cases in shards, with both verdicts of each."""

import asyncio
import json
import logging
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from forestay.ops.logs import logs
from tests.conformance.echo import PATH, echo_server
from tests.conformance.install import Missing, cache, fuzzer
from tests.conformance.verdicts import SHARDS, Reported, Result, Shard, examine, table

say = partial(print, flush=True)

_AGENT = "gateway"
# A shard takes up to twenty seconds on two cores. The limit is higher, because a machine may have other work.
_PATIENCE = 600.0


class _Errors(logging.Handler):
    """Counts our own log lines at error level, because a correct answer can hide a bug."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append(record.getMessage())


async def autobahn(shards: Sequence[Shard] = SHARDS) -> bool:
    """Runs the shards. Returns whether there is no fault."""
    try:
        command = fuzzer()
    except Missing as missing:
        say(missing)
        return False
    logs.configure("WARNING", logs.LogFormat.TEXT)
    errors = _Errors()
    logging.getLogger().addHandler(errors)
    results: list[Result] = []
    async with echo_server() as port:
        for shard in shards:
            say(f"running {shard.title}")
            results.append(await _run(command, port, shard))
    say(f"\n{table(results)}")
    for error in errors.seen:
        say(f"FAULT logged at error level: {error}")
    say(f"reports: {cache() / 'reports'}")
    return not errors.seen and not any(result.faults for result in results)


async def _run(command: Path, port: int, shard: Shard) -> Result:
    reports = cache() / "reports" / shard.title.split()[0]
    shutil.rmtree(reports, ignore_errors=True)
    reports.mkdir(parents=True)
    server = {"agent": _AGENT, "url": f"ws://127.0.0.1:{port}{PATH}"}
    plan = {"outdir": str(reports), "servers": [server], "cases": shard.patterns}
    specification = reports / "plan.json"
    specification.write_text(json.dumps(plan | {"exclude-cases": [], "exclude-agent-cases": {}}))
    with (reports / "log.txt").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            str(command), "--mode", "fuzzingclient", "--spec", str(specification), cwd=reports, stdout=log, stderr=log
        )
        try:
            async with asyncio.timeout(_PATIENCE):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
    return examine(shard, _reported(reports))


def _reported(reports: Path) -> Reported:
    """The fuzzer's report, or nothing where it did not finish."""
    try:
        reported: Reported = json.loads((reports / "index.json").read_text())[_AGENT]
    except (OSError, ValueError, LookupError):
        return {}
    return reported
