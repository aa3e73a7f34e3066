"""The backend of the chat after the move: it serves the page and mints tokens."""

import os
import secrets
import time
from pathlib import Path

import jwt
from aiohttp import web

PAGE = Path(__file__).resolve().parent / "page"
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


if __name__ == "__main__":
    # Socket.IO's client takes the address of the server, without a path.
    address = os.environ["FORESTAY_URL"].removesuffix("/ws").replace("ws", "http", 1)
    backend = Backend(address, os.environ["FORESTAY_JWT_SECRET"])
    web.run_app(backend.app, host="127.0.0.1", port=int(os.environ["PORT"]), access_log=None, print=None)
