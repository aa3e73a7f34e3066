"""Serves the client file of Socket.IO, which classic pages load from the server they connect to."""

import hashlib
from pathlib import Path
from typing import Final

from aiohttp import web

from forestay.edge.handshake.cors import readable

NAME: Final = "socket.io.js"
"""The name of the file below the path of Socket.IO."""

_TYPE: Final = "text/javascript"


class ClientFile:
    """One file, as it was at the start of the pod."""

    def __init__(self, path: Path) -> None:
        """Reads `path`. Raises ValueError where that fails."""
        try:
            self._body = path.read_bytes()
        except OSError as error:
            raise ValueError(
                f"cannot read {path}: {error.strerror}; check the path, the mount and the mode of the file"
            ) from None
        self._etag = f'"{hashlib.sha256(self._body).hexdigest()[:32]}"'

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request for the file."""
        if request.method not in ("GET", "HEAD"):
            return web.Response(status=405, headers={"Allow": "GET, HEAD"})
        known = [tag.strip() for tag in request.headers.get("If-None-Match", "").split(",")]
        if not {"*", self._etag, f"W/{self._etag}"}.isdisjoint(known):
            response = web.Response(status=304)
        else:
            response = web.Response(body=self._body, content_type=_TYPE, charset="utf-8")
        readable(request, response)
        # The file changes with the pod, so a browser asks each time. Nearly always the answer is 304.
        response.headers["Cache-Control"] = "no-cache"
        response.headers["ETag"] = self._etag
        return response
