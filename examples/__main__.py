"""Starts an example on this machine: a gateway, and the backend of the example, which serves its page.

`make example ARGS=chat`, or `python examples chat` from an environment that has Forestay. Without a name it lists them.
"""

import argparse
import asyncio
import base64
import os
import secrets
import signal
import socket
import string
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple

import forestay
from tests.support.node import environment, node, npm

HERE = Path(__file__).resolve().parent
# The client and the colours, as the gateway's own page has them. An application of yours installs the client with npm.
PAGE_FILES = Path(forestay.__file__).parent / "web" / "demo"
# In seconds, for a process that was asked to end.
PATIENCE = 10.0


class Example(NamedTuple):
    folder: Path
    backend: str
    """The file of the backend: Python, or JavaScript for Node. What it needs from npm is installed beside it."""
    about: str

    @property
    def command(self) -> list[str]:
        interpreter = sys.executable if self.backend.endswith(".py") else str(node())
        return [interpreter, str(self.folder / self.backend)]


EXAMPLES = {
    "fastapi": Example(HERE / "orders", "fastapi/backend.py", "tokens, publishing, webhooks and hooks in Python"),
    "express": Example(HERE / "orders", "express/backend.mjs", "the same application in JavaScript, on Node"),
    "chat": Example(HERE / "chat", "backend.py", "rooms with history, who is there, and who is typing"),
    "dashboard": Example(HERE / "dashboard", "backend.py", "numbers of a backend, four times a second"),
    "cursors": Example(HERE / "cursors", "backend.py", "everybody's cursor, in small binary messages"),
    "react": Example(HERE / "react", "backend.mjs", "a chat in React, with Vite: the hooks of forestay/react"),
    "socketio-chat": Example(HERE / "socketio-chat", "backend.py", "a chat that was written for Socket.IO, moved"),
}


def install(folder: Path) -> None:
    """Installs the packages of npm that an example needs, if they are not there or its lock has changed."""
    lock, done = folder / "package-lock.json", folder / "node_modules" / ".package-lock.json"
    if lock.exists() and not (done.exists() and done.stat().st_mtime >= lock.stat().st_mtime):
        try:
            npm("ci", "--no-audit", "--no-fund", cwd=folder)
        except AssertionError as error:
            sys.exit(f"npm cannot install what {folder.name}/package-lock.json names:\n{error}")


def gateway_settings(example: Example, page: str) -> dict[str, str]:
    """What the example has in `gateway.env`, where it has one. `$BACKEND` there is the address of its backend."""
    file = example.folder / "gateway.env"
    text = string.Template(file.read_text(encoding="utf-8")).substitute(BACKEND=page) if file.exists() else ""
    return dict(line.split("=", 1) for line in text.splitlines() if line and not line.startswith("#"))


def check_free(ports: Mapping[str, int]) -> None:
    """Ends the program where something else listens at one of the ports. The keys are the options that choose them."""
    for option, port in ports.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                sys.exit(f"port {port}: {error.strerror}; choose another one with {option}")


async def listens(port: int) -> None:
    """Returns when something accepts connections at `port`."""
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            await asyncio.sleep(0.1)
        else:
            writer.close()
            return


async def end(process: asyncio.subprocess.Process, how: signal.Signals) -> None:
    """Ends a process and its children."""
    if process.returncode is not None:
        return
    os.killpg(process.pid, how)
    try:
        await asyncio.wait_for(process.wait(), PATIENCE)
    except TimeoutError:
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def main(example: Example, port: int, gateway_port: int, api_port: int) -> str | None:
    """Runs until Ctrl+C. Returns what went wrong, if something did."""
    page = f"http://127.0.0.1:{port}"
    # What both sides have to know. A deployment keeps them in a Secret.
    keys = {name: secrets.token_hex(32) for name in ("FORESTAY_JWT_SECRET", "FORESTAY_API_KEY")}
    own = gateway_settings(example, page)
    for form in ("WEBHOOKS", "HOOKS"):
        if f"FORESTAY_{form}_URL" in own:
            keys[f"FORESTAY_{form}_SECRET"] = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    gateway = {
        "FORESTAY_HOST": "127.0.0.1",
        "FORESTAY_PORT": str(gateway_port),
        "FORESTAY_INTERNAL_PORT": str(api_port),
        "FORESTAY_ALLOWED_ORIGINS": page,
        "FORESTAY_ROOMS_FILE": "rooms.toml",
    }
    backend = {
        "PORT": str(port),
        "FORESTAY_URL": f"ws://127.0.0.1:{gateway_port}/ws",
        "FORESTAY_API": f"http://127.0.0.1:{api_port}/v1",
        "FORESTAY_PAGE_FILES": str(PAGE_FILES),
    }
    steps = {
        "the gateway": (
            [sys.executable, "-m", "forestay", "serve"],
            {"FORESTAY_LOG_LEVEL": "WARNING"} | environment() | gateway | own | keys,
            (gateway_port, api_port),
            # SIGTERM is a deploy: the gateway would give its clients time to move.
            signal.SIGINT,
        ),
        "the backend": (example.command, environment() | backend | keys, (port,), signal.SIGTERM),
    }
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    # The tasks of which one is done when it is over: Ctrl+C, or a process that ends.
    over: dict[asyncio.Future[Any], str] = {asyncio.create_task(ended.wait()): ""}
    async with AsyncExitStack() as stack:
        for name, (command, environ, ports, how) in steps.items():
            # A signal of the terminal goes to this process only, which hands it on.
            process = await asyncio.create_subprocess_exec(
                *command, cwd=example.folder, env=environ, start_new_session=True
            )
            stack.push_async_callback(end, process, how)
            over[asyncio.create_task(process.wait())] = name
            ready: asyncio.Future[Any] = asyncio.gather(*(listens(each) for each in ports))
            await asyncio.wait([ready, *over], return_when=asyncio.FIRST_COMPLETED)
            if not ready.done():
                ready.cancel()
                break
        else:
            print(f"Ctrl+C ends it. Open {page}/", flush=True)
            await asyncio.wait(over, return_when=asyncio.FIRST_COMPLETED)
        return next((f"{name} ended; it says why above" for task, name in over.items() if name and task.done()), None)


if __name__ == "__main__":
    names = "\n".join(f"  {name:<15}{example.about}" for name, example in EXAMPLES.items())
    parser = argparse.ArgumentParser(
        prog="python examples",
        description=f"Starts an example on this machine:\n\n{names}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", nargs="?", choices=EXAMPLES, help="the example; left out, all of them are listed")
    parser.add_argument("--port", type=int, default=3000, help="port of the backend and its page (3000)")
    parser.add_argument("--gateway-port", type=int, default=8080, help="port of the gateway (8080)")
    parser.add_argument("--api-port", type=int, default=9090, help="port of the gateway's HTTP API (9090)")
    options = parser.parse_args()
    if options.name is None:
        parser.print_help()
        sys.exit()
    check_free({"--port": options.port, "--gateway-port": options.gateway_port, "--api-port": options.api_port})
    chosen = EXAMPLES[options.name]
    install((chosen.folder / chosen.backend).parent)
    sys.exit(asyncio.run(main(chosen, options.port, options.gateway_port, options.api_port)))
