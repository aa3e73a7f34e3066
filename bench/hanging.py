"""A hook that hangs, over HTTP and in Python: the latency of the other connections, beside that of a run without it."""

import asyncio
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from http.client import HTTPConnection
from pathlib import Path

from bench.chart import Bars
from bench.crowd import gate
from bench.inbound import Inbound
from bench.rounds import Figures, interleaved, options, ratio, report
from bench.servers import Running, running
from forestay.terminal.crowd import Crowd, message, percentile, raise_file_limit, send

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="
_HANGING, _OVER = "hung.room", "hung.over"
_PUBLISHERS, _RATE = 50, 4.0
_PATIENCE = 30.0

Form = Callable[[Path], dict[str, str]]
"""Makes the settings of a pod with hooks, and may write files for it to the folder."""

MODULE = f"""
import asyncio
from forestay.hooks import Allow

over = asyncio.Event()

async def broadcast(event):
    if event.room == "{_HANGING}":
        await over.wait()
    elif event.room == "{_OVER}":
        over.set()
        over.clear()
    return Allow()
"""
"""It allows everything. In one room it hangs, until there is a message in another one."""


class Application:
    """The same over HTTP, in a process of its own."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("fork")
        self._port = context.SimpleQueue()
        self._process = context.Process(target=self._run, daemon=True)
        self._process.start()
        self.port = int(self._port.get())

    def close(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.join()

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._over = asyncio.Event()
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self._port.put(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                size = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
                body = await reader.readexactly(size)
                if _HANGING.encode() in body:
                    await self._over.wait()
                elif _OVER.encode() in body:
                    self._over.set()
                    self._over.clear()
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


def over_http(application: Application, folder: Path) -> dict[str, str]:
    """The settings of a pod that asks `application`."""
    return {"FORESTAY_HOOKS_URL": f"http://127.0.0.1:{application.port}/", "FORESTAY_HOOKS_SECRET": SECRET}


def in_python(folder: Path) -> dict[str, str]:
    """The settings of a pod with the module, which is written to `folder`."""
    module = folder / "hooks.py"
    module.write_text(MODULE)
    return {"FORESTAY_HOOKS_MODULE": str(module)}


@contextmanager
def asking(form: Form, asked: str) -> Iterator[Running]:
    """A pod that asks about messages in rooms of the pattern `asked`."""
    with tempfile.TemporaryDirectory() as folder:
        rooms = Path(folder) / "rooms.toml"
        rooms.write_text(f'[[rooms]]\npattern = "{asked}"\nhooks = ["broadcast"]\n')
        environ = {
            "FORESTAY_HOOKS_ASK": "call",
            # A hook that hangs does so for all of its turn.
            "FORESTAY_HOOKS_TIMEOUT": "60",
            "FORESTAY_ROOMS_FILE": str(rooms),
        }
        with running("forestay", **environ, **form(Path(folder))) as server:
            yield server


def metric(server: Running, name: str) -> float:
    """The sum of all that the pod counts under `name`."""
    client = HTTPConnection("127.0.0.1", server.internal_port)
    client.request("GET", "/metrics")
    lines = client.getresponse().read().decode().splitlines()
    client.close()
    return sum(float(line.split()[-1]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))


def _until_under_way(server: Running, number: int) -> None:
    end = time.monotonic() + _PATIENCE
    while metric(server, "forestay_hooks_under_way") != number:
        if time.monotonic() > end:
            raise RuntimeError(f"after {_PATIENCE:g} s there are not {number} hooks under way")
        time.sleep(0.02)


@contextmanager
def hook_that_hangs(server: Running) -> Iterator[None]:
    """One client waits for its hook meanwhile."""
    slow = Crowd(gate(server.port))
    [one], [other] = slow.connect(_HANGING), slow.connect(_OVER)
    send(one, message(_HANGING))
    _until_under_way(server, 1)
    yield
    if metric(server, "forestay_hooks_under_way") < 1:
        raise RuntimeError("the hook did not hang to the end")
    send(other, message(_OVER))
    _until_under_way(server, 0)
    slow.close()


def others(server: Running, seconds: float) -> Figures:
    """Let the others publish."""
    load = Inbound(server, publishers=_PUBLISHERS, rate=_RATE)
    load.run(0.5)
    load.crowd.reset()
    before, cpu = metric(server, "forestay_hooks_total"), server.cpu()
    sent = load.run(seconds)
    cpu = server.cpu() - cpu
    asked = metric(server, "forestay_hooks_total") - before
    load.crowd.close()
    return {
        "us CPU/message": cpu / sent * 1e6,
        "p50 ms": percentile(load.crowd.latencies, 0.5) / 1e6,
        "p99 ms": percentile(load.crowd.latencies, 0.99) / 1e6,
        "lost": sent - load.crowd.count,
        "asked/message": asked / sent,
    }


def others_beside(server: Running, seconds: float) -> Figures:
    """Let the others publish, while one client waits for a hook that hangs."""
    with hook_that_hangs(server):
        return others(server, seconds)


def main() -> None:
    given = options(__doc__, "forestay", seconds=5).parse_args()
    if given.quick:
        given.rounds, given.seconds = 1, 1.0
    raise_file_limit()
    found: dict[str, Sequence[Figures]] = {}
    application = Application()
    forms: dict[str, Form] = {"HTTP": partial(over_http, application), "Python": in_python}
    rows = [
        (f"{form}, {label}", form, asked)
        for form in forms
        for label, asked in (("not asked", "hung.**"), ("asked", "**"))
    ]
    for row, form, asked in rows:
        with asking(forms[form], asked) as server:
            cases = {row: partial(others, server, given.seconds)}
            cases[f"{row}, hanging"] = partial(others_beside, server, given.seconds)
            found |= interleaved(cases, given.rounds)
    application.close()
    middle = report(
        "hanging",
        f"A hook that hangs, beside {_PUBLISHERS * _RATE:g} messages a second of others",
        found,
        Bars("p99 ms", "99th percentile of the others' latency, ms", "less is better"),
        keep=not given.quick,
    )
    for row, _, _ in rows:
        pairs = zip(found[f"{row}, hanging"], found[row], strict=True)
        above = statistics.median(one["p99 ms"] - other["p99 ms"] for one, other in pairs)
        print(f"p99 of others, {row}: {above:+.2f} ms where one hook hangs (median of the rounds' differences)")
    for form in forms:
        ratio(middle, "us CPU/message", f"{form}, asked", f"{form}, not asked")


if __name__ == "__main__":
    main()
