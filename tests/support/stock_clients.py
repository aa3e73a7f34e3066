"""Stock Socket.IO clients of npm in one Node process, and what happens to them."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from tests.support.gateway import PATIENCE
from tests.support.node import environment, node
from tests.support.repository import ROOT

_SCRIPT: Final = ROOT / "tests" / "clients" / "socketio_stock.mjs"

Told = dict[str, Any]
"""One thing that happened: its `kind`, and its fields."""


class StockClient:
    """One client, or one namespace of one. What happens is kept until it is asked for."""

    def __init__(self, clients: "StockClients", name: str) -> None:
        self._clients = clients
        self.name = name
        self.told: list[Told] = []

    async def next(self, kind: str) -> Told:
        """The first thing of this kind that is not taken yet. What came before it stays."""
        async with asyncio.timeout(PATIENCE):
            while True:
                for place, one in enumerate(self.told):
                    if one["kind"] == kind:
                        return self.told.pop(place)
                await self._clients.wait()

    async def event(self, event: str) -> Any:
        """The first argument of the next event of this name."""
        async with asyncio.timeout(PATIENCE):
            while True:
                for place, one in enumerate(self.told):
                    if one["kind"] == "event" and one["event"] == event:
                        return self.told.pop(place)["args"][0]
                await self._clients.wait()

    def taken(self, event: str) -> list[Any]:
        """The first arguments of all events of this name that came."""
        found = [one["args"][0] for one in self.told if one["kind"] == "event" and one["event"] == event]
        self.told = [one for one in self.told if one["kind"] != "event" or one["event"] != event]
        return found

    async def ask(self, event: str, *args: object) -> Told:
        """Emit an event, and return its ack, which is an object."""
        answer = await self.call(event, *args)
        assert isinstance(answer, dict)
        return answer

    async def call(self, event: str, *args: object) -> Any:
        """Emit an event, and return its ack."""
        self._clients.tell("ask", name=self.name, event=event, args=args)
        return (await self.next("ack"))["answer"]

    def emit(self, event: str, *args: object) -> None:
        """Emit an event without an ack."""
        self._clients.tell("emit", name=self.name, event=event, args=args)

    def namespace(self, path: str, token: str) -> "StockClient":
        """The same client in another namespace, which it asks to enter."""
        return self._clients.add("namespace", of=self.name, path=path, token=token)

    def close(self) -> None:
        """Leave by itself."""
        self._clients.tell("close", name=self.name)


class StockClients:
    """The clients of one Node process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._by_name: dict[str, StockClient] = {}
        self._news = asyncio.Event()

    def open(self, url: str, *tokens: str, transports: list[str] | None = None, **options: object) -> StockClient:
        """A client that connects. Each attempt takes the next token; the last one stays."""
        given = options if transports is None else {"transports": transports, **options}
        return self.add("open", url=url, tokens=tokens, **given)

    def add(self, verb: str, **fields: object) -> StockClient:
        """A client that is made by this command."""
        client = StockClient(self, f"c{len(self._by_name)}")
        self._by_name[client.name] = client
        self.tell(verb, name=client.name, **fields)
        return client

    def tell(self, verb: str, **fields: object) -> None:
        """Give a command."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": verb, **fields}).encode() + b"\n")

    async def wait(self) -> None:
        """Wait until something more has happened."""
        self._news.clear()
        await self._news.wait()

    async def read(self) -> None:
        """Keep what happens, until the process ends."""
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            told = json.loads(line)
            self._by_name[told["name"]].told.append(told)
            self._news.set()


@asynccontextmanager
async def stock_clients(folder: Path) -> AsyncIterator[StockClients]:
    """Runs Node within the block. `folder`: where the packages are installed."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        node(), _SCRIPT, cwd=folder, env=environment(), stdin=pipe, stdout=pipe, limit=2**20
    )
    clients = StockClients(process)
    reading = asyncio.create_task(clients.read())
    try:
        yield clients
    finally:
        # A kill would end the program that starts Node, and not Node itself.
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()
        await reading
