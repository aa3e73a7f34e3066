"""An HTTP hook that hangs: the latency of the other connections, beside that of the same run without it."""

import asyncio
import multiprocessing
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from bench.chart import Bars
from bench.crowd import gate
from bench.inbound import Inbound
from bench.rounds import Figures, interleaved, options, ratio, report
from bench.servers import Running, running
from forestay.terminal.crowd import Crowd, message, percentile, raise_file_limit, send

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="
_HANGING = b"hung.room"
_PUBLISHERS, _RATE = 50, 4.0


class Application:
    """An application in a process of its own: it allows everything, but hangs where one room is published to."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("fork")
        self.hangs = context.Event()
        """Set when a question hangs."""
        self.released = context.Event()
        """Set while those that hang are answered."""
        self._questions = context.Value("q", 0)
        self._port = context.SimpleQueue()
        self._process = context.Process(target=self._run, daemon=True)
        self._process.start()
        self.port = int(self._port.get())

    @property
    def questions(self) -> int:
        """How many there have been."""
        return int(self._questions.value)

    def close(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.join()

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self._port.put(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                size = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
                body = await reader.readexactly(size)
                self._questions.value += 1
                if _HANGING in body:
                    self.hangs.set()
                    await asyncio.to_thread(self.released.wait)
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


@contextmanager
def asking(application: Application, asked: str) -> Iterator[Running]:
    """A pod that asks about messages in rooms of the pattern `asked`."""
    with tempfile.TemporaryDirectory() as folder:
        rooms = Path(folder) / "rooms.toml"
        rooms.write_text(f'[[rooms]]\npattern = "{asked}"\nhooks = ["broadcast"]\n')
        environ = {
            "FORESTAY_HOOKS_URL": f"http://127.0.0.1:{application.port}/",
            "FORESTAY_HOOKS_SECRET": SECRET,
            "FORESTAY_HOOKS_ASK": "call",
            # A hook that hangs does so for all of its turn.
            "FORESTAY_HOOKS_TIMEOUT": "60",
            "FORESTAY_ROOMS_FILE": str(rooms),
        }
        with running("forestay", **environ) as server:
            yield server


def turn(server: Running, application: Application, *, seconds: float, hangs: bool) -> Figures:
    """Let the others publish, while one client waits for a hook that `hangs`."""
    application.hangs.clear()
    application.released.clear()
    slow = Crowd(gate(server.port))
    if hangs:
        [one] = slow.connect(_HANGING.decode())
        send(one, message(_HANGING.decode()))
        if not application.hangs.wait(30):
            raise RuntimeError("the hook was not asked")
    load = Inbound(server, publishers=_PUBLISHERS, rate=_RATE)
    load.run(0.5)
    load.crowd.reset()
    before, cpu = application.questions, server.cpu()
    sent = load.run(seconds)
    cpu = server.cpu() - cpu
    found = {
        "us CPU/message": cpu / sent * 1e6,
        "p50 ms": percentile(load.crowd.latencies, 0.5) / 1e6,
        "p99 ms": percentile(load.crowd.latencies, 0.99) / 1e6,
        "lost": sent - load.crowd.count,
        "asked/message": (application.questions - before) / sent,
    }
    application.released.set()
    load.crowd.close()
    slow.close()
    return found


def main() -> None:
    given = options(__doc__, "forestay", seconds=5).parse_args()
    if given.quick:
        given.rounds, given.seconds = 1, 1.0
    raise_file_limit()
    found: dict[str, Sequence[Figures]] = {}
    application = Application()
    for label, asked in (("not asked", "hung.**"), ("asked", "**")):
        with asking(application, asked) as server:
            work = partial(turn, server, application, seconds=given.seconds)
            cases = {label: partial(work, hangs=False), f"{label}, hanging": partial(work, hangs=True)}
            found |= interleaved(cases, given.rounds)
    application.close()
    middle = report(
        "hooks_http",
        f"An HTTP hook that hangs, beside {_PUBLISHERS * _RATE:g} messages a second of others",
        found,
        Bars("p99 ms", "99th percentile of the others' latency, ms", "less is better"),
        keep=not given.quick,
    )
    for label in ("not asked", "asked"):
        pairs = zip(found[f"{label}, hanging"], found[label], strict=True)
        above = statistics.median(one["p99 ms"] - other["p99 ms"] for one, other in pairs)
        print(f"p99 of others, {label}: {above:+.2f} ms where one hook hangs (median of the rounds' differences)")
    ratio(middle, "us CPU/message", "asked", "not asked")


if __name__ == "__main__":
    main()
