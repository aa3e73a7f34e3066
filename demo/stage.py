"""All parts of a deploy on one machine: Redis, two gateways, the balancer and a publisher."""

import asyncio
import secrets
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import jwt

from demo.balancer import Balancer
from demo.pods import Pod
from demo.publisher import Publisher
from tests.support.local_redis import QUICK, RedisServer

ROOM: Final = "log.numbers"
RATE: Final = 10.0
# Shorter than the default of half a minute, and long enough to see two connections.
_WINDOW: Final = {"FORESTAY_DRAIN_WINDOW": "6", "FORESTAY_DRAIN_LEAD": "2"}
_ROOMS: Final = """
[[rooms]]
pattern = "log.*"
[rooms.history]
size = 1000
ttl = 300

[[rooms]]
pattern = "**"
join_leave = true
"""


class Stage:
    """Two pods, `A` and `B`, and the clients of each."""

    def __init__(self, pods: list[Pod], balancer: Balancer, secret: str, api_key: str) -> None:
        self.balancer = balancer
        self.publisher = Publisher(ROOM, api_key, lambda: [pod for pod in pods if pod.state == "ready"])
        self._pods = {pod.name: pod for pod in pods}
        self._secret = secret
        self._viewers: dict[str, str] = {}
        self._deploys: set[asyncio.Task[None]] = set()

    def token(self, viewer: str) -> str:
        """A token by which the balancer recognizes the viewer."""
        token = jwt.encode({"sub": viewer, "exp": time.time() + 3600, "rooms": {"**": "rwph"}}, self._secret)
        self._viewers[token] = viewer
        return token

    def deploy(self, name: str) -> bool:
        """Drains a pod and starts it again. Returns False if the other pod cannot take its place."""
        pod = self._pods.get(name)
        if pod is None or any(one.state != "ready" for one in self._pods.values()):
            return False
        self.balancer.rest(pod.port)
        pod.drain()
        task = asyncio.create_task(self._restart(pod))
        self._deploys.add(task)
        task.add_done_callback(self._deploys.discard)
        return True

    def report(self) -> dict[str, Any]:
        """The state of the pods for the page."""
        return {"said": self.publisher.last, "pods": [self._seen(pod) for pod in self._pods.values()]}

    def _seen(self, pod: Pod) -> dict[str, Any]:
        here = [one for one in self.balancer.passages if one.pod == pod.port and one.ended is None and one.token]
        viewers = [self._viewers[one.token] for one in here if one.token in self._viewers]
        return {"name": pod.name, "state": pod.state, "connections": len(here), "viewers": viewers}

    async def _restart(self, pod: Pod) -> None:
        await pod.ended()
        await pod.start()
        self.balancer.add(pod.port)

    async def close(self) -> None:
        for task in self._deploys:
            task.cancel()


@asynccontextmanager
async def staged(page: str, port: int = 0) -> AsyncIterator[Stage]:
    """A running stage. `page`: the origin of the page. `port`: the balancer's."""
    secret, api_key = secrets.token_hex(32), secrets.token_hex(32)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        redis = RedisServer(folder / "redis", *QUICK)
        stack.callback(redis.close)
        await asyncio.to_thread(redis.start)
        rooms = folder / "rooms.toml"
        rooms.write_text(_ROOMS)
        balancer = Balancer([])
        await balancer.open(port)
        environ = {
            "FORESTAY_JWT_SECRET": secret,
            "FORESTAY_API_KEY": api_key,
            "FORESTAY_BUS_URL": redis.url,
            "FORESTAY_ROOMS_FILE": str(rooms),
            "FORESTAY_DEMO": "1",
            "FORESTAY_ALLOWED_ORIGINS": f"{page},http://127.0.0.1:{balancer.port}",
        }
        pods = [Pod(name, environ | _WINDOW) for name in ("A", "B")]
        for pod in pods:
            stack.push_async_callback(pod.kill)
        await asyncio.gather(*(pod.start() for pod in pods))
        for pod in pods:
            balancer.add(pod.port)
        stage = Stage(pods, balancer, secret, api_key)
        stack.push_async_callback(balancer.close)
        stack.push_async_callback(stage.close)
        counting = asyncio.create_task(stage.publisher.count(RATE))
        try:
            yield stage
        finally:
            counting.cancel()
            with suppress(asyncio.CancelledError):
                await counting
