"""Starts the chat after the move: a gateway, and a small backend that serves the page and mints tokens.

`python examples/socketio-chat/start.py` from an environment that has Forestay. It needs npm once, for the client file.
"""

import argparse
import asyncio
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jwt
from aiohttp import web

HERE = Path(__file__).resolve().parent
PAGE = HERE / "page"
CLIENT = HERE / "node_modules" / "socket.io-client" / "dist" / "socket.io.min.js"
# The page of the old server loads the client file from there. Now the gateway has it, and a token is needed.
OLD_SCRIPT = '<script src="/socket.io/socket.io.js"></script>'
NEW_SCRIPTS = (
    '<script src="{gateway}/socket.io/socket.io.js"></script>\n'
    '<script src="/shim.js" data-gateway="{gateway}"></script>'
)
# Who may do what: to read and to write in three rooms, and to be there in nothing else.
RIGHTS = {"general": "rw", "random": "rw", "help": "r"}
TOKEN_SECONDS = 3600


class Backend:
    """Serves the page, and gives each browser a token in its own name."""

    def __init__(self, gateway: str, secret: str) -> None:
        self._gateway = gateway
        self._secret = secret
        self.app = web.Application()
        self.app.router.add_get("/", self._index)
        self.app.router.add_post("/token", self._token)
        self.app.router.add_get("/{file:(?:client|shim)\\.js|style\\.css}", self._file)

    async def _index(self, request: web.Request) -> web.Response:
        page = (PAGE / "index.html").read_text(encoding="utf-8")
        response = web.Response(
            text=page.replace(OLD_SCRIPT, NEW_SCRIPTS.format(gateway=self._gateway)), content_type="text/html"
        )
        if "guest" not in request.cookies:
            # Your application has its own log-in here.
            response.set_cookie("guest", f"guest-{secrets.token_hex(4)}", httponly=True, samesite="Lax")
        return response

    async def _token(self, request: web.Request) -> web.Response:
        guest = request.cookies.get("guest")
        if guest is None:
            return web.Response(status=401)
        claims = {"sub": guest, "exp": int(time.time()) + TOKEN_SECONDS, "rooms": RIGHTS}
        return web.Response(text=jwt.encode(claims, self._secret, "HS256"), headers={"Cache-Control": "no-store"})

    async def _file(self, request: web.Request) -> web.StreamResponse:
        return web.FileResponse(PAGE / request.match_info["file"], headers={"Cache-Control": "no-cache"})


def gateway_settings(port: int, page: str, secret: str) -> dict[str, str]:
    """The settings of the gateway. These few lines are what a deployment has in its values."""
    return {
        "FORESTAY_HOST": "127.0.0.1",
        "FORESTAY_PORT": str(port),
        "FORESTAY_INTERNAL_PORT": "0",
        "FORESTAY_JWT_SECRET": secret,
        "FORESTAY_ALLOWED_ORIGINS": page,
        "FORESTAY_SOCKETIO": "on",
        "FORESTAY_SOCKETIO_CLIENT": str(CLIENT),
        "FORESTAY_ROOMS_FILE": str(HERE / "rooms.toml"),
    }


def install() -> None:
    """Installs the packages, if they are not there: the client file is one of them."""
    if CLIENT.exists():
        return
    npm = shutil.which("npm")
    if npm is None:
        sys.exit("npm is not on PATH; it installs the client file of Socket.IO, socket.io.min.js")
    subprocess.run([npm, "ci", "--no-audit", "--no-fund"], cwd=HERE, check=True)


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


async def main(port: int, gateway_port: int) -> None:
    secret = secrets.token_hex(32)
    page, gateway = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{gateway_port}"
    ended = asyncio.Event()
    for signal_ in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(signal_, ended.set)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "forestay", "serve"),
        env=os.environ | gateway_settings(gateway_port, page, secret),
        # A signal of the terminal goes to this process only, which hands it on.
        start_new_session=True,
    )
    gone, asked = asyncio.create_task(process.wait()), asyncio.create_task(ended.wait())
    ready = asyncio.create_task(listens(gateway_port))
    runner = web.AppRunner(Backend(gateway, secret).app, access_log=None, shutdown_timeout=1)
    try:
        await asyncio.wait([ready, gone, asked], return_when=asyncio.FIRST_COMPLETED)
        if ready.done():
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", port).start()
            print(f"the chat is at {page}/", flush=True)
            await asyncio.wait([gone, asked], return_when=asyncio.FIRST_COMPLETED)
    finally:
        ready.cancel()
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
        await gone
        asked.cancel()
        await runner.cleanup()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="The chat after the move, on this machine.")
    parser.add_argument("--port", type=int, default=3000, help="port of the page")
    parser.add_argument("--gateway-port", type=int, default=8080, help="port of the gateway")
    options = parser.parse_args()
    install()
    asyncio.run(main(options.port, options.gateway_port))
