"""A fake API server with EndpointSlices and Events: TLS, a token, lists, watches, and faults on demand.

It answers like the real one where our client can see the difference: versions that only grow, watches that start at a
version and refuse old ones, bookmarks, Status objects, and no change of an Event except its series.
"""

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiohttp import web

NAMESPACE = "chat"
SERVICE = "forestay"
SELECTOR = f"kubernetes.io/service-name={SERVICE}"


@cache
def _authority() -> trustme.CA:
    return trustme.CA()


def endpoint(pod: str, *, ready: bool | None = True, terminating: bool | None = None) -> dict[str, Any]:
    """An endpoint as the controller writes it."""
    return {
        "addresses": ["10.0.0.1"],
        "conditions": {"ready": ready, "serving": ready, "terminating": terminating},
        "nodeName": "n1",
        "targetRef": {"kind": "Pod", "namespace": NAMESPACE, "name": pod, "uid": "0"},
    }


@dataclass
class Fault:
    """A faulty answer."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Asked:
    kind: str
    """`list`, `watch`, `create`, `patch` or `review`."""
    at: float
    query: dict[str, str]
    agent: str


class KubernetesApi:
    def __init__(self, account: Path) -> None:
        self.account = account
        self.asked: list[Asked] = []
        self.faults: dict[str, Fault] = {}
        """The fault for every request of a kind."""
        self.denied: set[tuple[str, str]] = set()
        """Verbs that the pod may not use, each with its resource, such as `events.events.k8s.io`."""
        self.brief = False
        """Watches end at once."""
        self.mute = False
        """No request gets an answer."""
        self.events: dict[str, dict[str, Any]] = {}
        self.slices: dict[str, dict[str, Any]] = {}
        self._version = 100
        self._oldest = 0
        self._history: list[tuple[int, dict[str, Any]]] = []
        self._watches: dict[asyncio.Queue[bytes | None], web.Request] = {}
        self._runner: web.AppRunner | None = None
        self.port = 0
        self.rotate("token-1")
        _authority().cert_pem.write_to_path(str(account / "ca.crt"))

    def rotate(self, token: str, *, told: bool = True) -> None:
        """Accepts only this token from now on. `told`: write it into the pod's file too."""
        self.token = token
        if told:
            (self.account / "token").write_text(token + "\n")

    def put(self, name: str, *endpoints: dict[str, Any] | None, family: str = "IPv4") -> None:
        """Sets a slice."""
        kind = "MODIFIED" if name in self.slices else "ADDED"
        self._version += 1
        self.slices[name] = {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": name, "namespace": NAMESPACE, "resourceVersion": str(self._version)},
            "addressType": family,
            # Go writes an empty list as null.
            "endpoints": list(endpoints) or None,
            "ports": [{"name": "http", "port": 8000, "protocol": "TCP"}],
        }
        self._say(kind, self.slices[name])

    def delete(self, name: str) -> None:
        self._version += 1
        gone = self.slices.pop(name)
        self._say("DELETED", gone | {"metadata": gone["metadata"] | {"resourceVersion": str(self._version)}})

    def bookmark(self) -> None:
        """Sends the version to watches, after other objects moved it on."""
        self._version += 10
        line = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": str(self._version)}}}
        for queue in self._watches:
            queue.put_nowait(_line(line))

    def compact(self) -> None:
        """Forgets all versions before the current one, also for open watches."""
        self._version += 1
        self._oldest = self._version
        for queue in self._watches:
            queue.put_nowait(_line({"type": "ERROR", "object": _status(410, "too old resource version")}))
            queue.put_nowait(None)

    def end_watches(self) -> None:
        for queue in self._watches:
            queue.put_nowait(None)

    def break_watches(self) -> None:
        """Aborts the connections of watches in the middle of a line."""
        for queue, request in self._watches.items():
            queue.put_nowait(b'{"type": "MODIF')
            asyncio.get_running_loop().call_later(0.02, _abort, request)

    @property
    def watching(self) -> int:
        return len(self._watches)

    def count(self, kind: str) -> int:
        return sum(each.kind == kind for each in self.asked)

    def last(self, kind: str) -> Asked:
        return [each for each in self.asked if each.kind == kind][-1]

    async def start(self) -> None:
        """Listens, on the same port as before."""
        app = web.Application()
        slices = f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices"
        events = f"/apis/events.k8s.io/v1/namespaces/{NAMESPACE}/events"
        app.add_routes(
            [
                web.get(slices, self._slices),
                web.post(events, self._create),
                web.patch(events + "/{name}", self._patch),
                web.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", self._review),
            ]
        )
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.05)
        await self._runner.setup()
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        _authority().issue_cert("127.0.0.1").configure_cert(context)
        await web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=context).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Ends connections and refuses new ones."""
        if self._runner is not None:
            self.end_watches()
            await self._runner.cleanup()
            self._runner = None

    async def _slices(self, request: web.Request) -> web.StreamResponse:
        kind = "watch" if request.query.get("watch") == "true" else "list"
        if (refusal := await self._refusal(request, kind)) is not None:
            return refusal
        assert request.query["labelSelector"] == SELECTOR
        if kind == "list":
            return web.json_response(
                {
                    "kind": "EndpointSliceList",
                    "metadata": {"resourceVersion": str(self._version)},
                    "items": list(self.slices.values()),
                }
            )
        return await self._watch(request, int(request.query["resourceVersion"]))

    async def _watch(self, request: web.Request, version: int) -> web.StreamResponse:
        assert request.query["allowWatchBookmarks"] == "true"
        if version < self._oldest:
            return _refused(410, "too old resource version")
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        for since, line in self._history:
            if since > version:
                queue.put_nowait(_line(line))
        if self.brief:
            queue.put_nowait(None)
        self._watches[queue] = request
        try:
            async with asyncio.timeout(int(request.query["timeoutSeconds"])):
                while (event := await queue.get()) is not None:
                    await response.write(event)
        except (TimeoutError, ConnectionError):
            pass
        finally:
            del self._watches[queue]
        return response

    async def _create(self, request: web.Request) -> web.StreamResponse:
        if (refusal := await self._refusal(request, "create")) is not None:
            return refusal
        event = await request.json()
        self.events[event["metadata"]["name"]] = event
        return web.json_response(event, status=201)

    async def _patch(self, request: web.Request) -> web.StreamResponse:
        if (refusal := await self._refusal(request, "patch")) is not None:
            return refusal
        patch = await request.json()
        name = request.match_info["name"]
        if name not in self.events:
            return _refused(404, "not found")
        if patch.keys() != {"series"} or "merge-patch" not in request.content_type:
            return _refused(422, "field is immutable")
        self.events[name] |= patch
        return web.json_response(self.events[name])

    async def _review(self, request: web.Request) -> web.StreamResponse:
        if (refusal := await self._refusal(request, "review")) is not None:
            return refusal
        review = await request.json()
        wanted = review["spec"]["resourceAttributes"]
        assert wanted["namespace"] == NAMESPACE
        allowed = (wanted["verb"], f"{wanted['resource']}.{wanted['group']}") not in self.denied
        return web.json_response(review | {"status": {"allowed": allowed}}, status=201)

    async def _refusal(self, request: web.Request, kind: str) -> web.Response | None:
        self.asked.append(Asked(kind, time.monotonic(), dict(request.query), request.headers.get("User-Agent", "")))
        if self.mute:
            await asyncio.sleep(3600)
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return _refused(401, "Unauthorized")
        fault = self.faults.get(kind)
        return _refused(fault.status, "as ordered", fault.headers) if fault is not None else None

    def _say(self, kind: str, found: dict[str, Any]) -> None:
        line = {"type": kind, "object": found}
        self._history.append((self._version, line))
        for queue in self._watches:
            queue.put_nowait(_line(line))


def _line(event: dict[str, Any]) -> bytes:
    return json.dumps(event).encode() + b"\n"


def _abort(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


def _status(code: int, message: str) -> dict[str, Any]:
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "code": code}


def _refused(status: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.json_response(_status(status, message), status=status, headers=headers)


@asynccontextmanager
async def kubernetes_api(account: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[KubernetesApi]:
    """A running server, and a pod's account: the files in `account`, and the variables that every container has."""
    api = KubernetesApi(account)
    await api.start()
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(api.port))
    try:
        yield api
    finally:
        await api.stop()
