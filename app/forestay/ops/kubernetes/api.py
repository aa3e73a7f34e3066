"""The one door to the cluster's API: EndpointSlices in, Events out, and every fault on the way is an Unanswered.

The client is large: a hundred megabytes on disk, and up to a second to load. It is loaded when it is first needed, in a
thread; a gateway without a cluster never loads it.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from forestay.ops.kubernetes.answers import NOT_FOUND, fault, read_line, read_list, read_reason
from forestay.ops.kubernetes.endpoints import Change, Slice
from forestay.ops.kubernetes.events import Occurrence
from forestay.ops.kubernetes.unanswered import Cause, Unanswered

if TYPE_CHECKING:
    from aiohttp import ClientResponse, StreamReader
    from kubernetes.aio.client import ApiClient, DiscoveryV1Api, EventsV1Api

ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds its token and the authority of the API server."""

COMPONENT: Final = "forestay"
"""What the cluster knows us as: in its audit log and beside our events."""

# Seconds for one answer, and for a watch to be agreed to.
_PATIENCE: Final = 10.0

# Seconds that a watch may be silent. Bookmarks come once a minute; a connection that a firewall has forgotten says
# nothing for ever, and what we know would be old without our knowing it.
_SILENCE: Final = 150.0

# Bytes of an event's note; the server refuses longer ones.
_LONGEST_NOTE: Final = 1024

# Statuses from here on are no answers.
_NO_ANSWER: Final = 300


@dataclass(frozen=True, slots=True)
class Pod:
    """Who we are to the cluster."""

    namespace: str
    name: str
    uid: str = ""
    """Empty where it is not known: `kubectl describe` then does not show the events with the pod."""


@dataclass(frozen=True, slots=True)
class _Client:
    """The parts of the library that we use."""

    api: "ApiClient"
    discovery: "DiscoveryV1Api"
    events: "EventsV1Api"


class Cluster:
    """Slices and a Journal, by an API server that is found when it is first asked and may never be."""

    def __init__(self, pod: Pod, service: str, account: Path = ACCOUNT) -> None:
        """`service`: ours, in the pod's namespace. `account`: where its token and the server's authority are."""
        self._pod = pod
        self._selector = f"kubernetes.io/service-name={service}"
        self._account = account
        self._client: _Client | None = None
        self._opening = asyncio.Lock()
        self._closed = False

    async def list(self) -> "tuple[list[Slice], str]":
        """The EndpointSlices of our Service, and the version to watch from. Raises Unanswered and SlicesGone."""
        client = await self._open()
        with _faults():
            response = await client.discovery.list_namespaced_endpoint_slice_without_preload_content(
                self._pod.namespace, label_selector=self._selector, _request_timeout=_PATIENCE
            )
            body = await _body(response)
        return read_list(body)

    @asynccontextmanager
    async def watch(self, version: str, seconds: int) -> AsyncIterator[AsyncIterator[Change]]:
        """What happens to them after `version`. Raises Unanswered and SlicesGone."""
        client = await self._open()
        with _faults():
            async with asyncio.timeout(_PATIENCE):
                response = await client.discovery.list_namespaced_endpoint_slice_without_preload_content(
                    self._pod.namespace,
                    label_selector=self._selector,
                    resource_version=version,
                    watch=True,
                    allow_watch_bookmarks=True,
                    timeout_seconds=seconds,
                    # Its own limit is five minutes in all, however much is being said.
                    _request_timeout=seconds + _PATIENCE,
                )
        try:
            with _faults():
                if response.status >= _NO_ANSWER:
                    await _body(response)
            yield _changes(response.content)
        finally:
            response.close()

    async def create(self, occurrence: Occurrence) -> str:
        """Write an event about our pod; its name. Raises Unanswered."""
        client = await self._open()
        from kubernetes.aio.client import EventsV1Event

        now = _now()
        pod = {"apiVersion": "v1", "kind": "Pod", "namespace": self._pod.namespace, "name": self._pod.name}
        name = f"{self._pod.name}.{time.time_ns():x}"
        event = EventsV1Event.model_validate(
            {
                "metadata": {"name": name, "namespace": self._pod.namespace},
                "eventTime": now,
                "reportingController": COMPONENT,
                "reportingInstance": self._pod.name,
                "action": occurrence.reason.value,
                "reason": occurrence.reason.value,
                "regarding": pod | ({"uid": self._pod.uid} if self._pod.uid else {}),
                "note": occurrence.note.encode(errors="replace")[:_LONGEST_NOTE].decode(errors="ignore"),
                "type": "Warning" if occurrence.warning else "Normal",
                # A series starts at two: the server refuses one of a single event.
                "series": _series(occurrence.count, now) if occurrence.count > 1 else None,
            }
        )
        with _faults():
            await _body(
                await client.events.create_namespaced_event_without_preload_content(
                    self._pod.namespace, event, _request_timeout=_PATIENCE
                )
            )
        return name

    async def repeat(self, name: str, count: int) -> bool:
        """Our event has by now happened `count` times; False where the cluster has forgotten it. Raises Unanswered."""
        client = await self._open()
        with _faults():
            # The series is all that may be changed: the server holds an event to its note.
            response = await client.events.patch_namespaced_event_without_preload_content(
                name, self._pod.namespace, {"series": _series(count, _now())}, _request_timeout=_PATIENCE
            )
            if response.status == NOT_FOUND:
                response.release()
                return False
            await _body(response)
        return True

    async def close(self) -> None:
        """Let go of every connection; who asks afterwards is not answered.

        Nobody may be watching any more: the library does not wake who reads from a connection that it closes.
        """
        self._closed = True
        if self._client is not None:
            await self._client.api.close()

    async def _open(self) -> _Client:
        if self._closed:
            raise Unanswered(Cause.ABSENT, "closed")
        async with self._opening:
            if self._client is None:
                self._client = await asyncio.to_thread(_load, self._account)
        return self._client


def _load(account: Path) -> _Client:
    """Load the library and what the pod was given; no request is made. Raises Unanswered."""
    try:
        from kubernetes.aio.client import ApiClient, Configuration, DiscoveryV1Api, EventsV1Api
        from kubernetes.aio.config import ConfigException
        from kubernetes.aio.config.incluster_config import InClusterConfigLoader
    except ImportError as error:
        raise Unanswered(Cause.ABSENT, f"its client is not installed: {error}") from error

    def renew(configuration: Configuration) -> None:
        configuration.api_key["BearerToken"] = f"Bearer {_token(account)}"

    configuration = Configuration()
    # Python 3.13 refuses authorities without a key identifier, and clusters that were made long ago have such.
    configuration.disable_strict_ssl_verification = True
    try:
        InClusterConfigLoader(str(account / "token"), str(account / "ca.crt"), try_refresh_token=False).load_and_set(
            configuration
        )
        # The loader's own refresh keeps a token for a minute. We ask seldom enough to read it every time, and then a
        # token that was taken back is never used twice.
        configuration.refresh_api_key_hook = renew  # type: ignore[assignment]
        api = ApiClient(configuration)
    except (ConfigException, OSError, ValueError) as error:
        raise Unanswered(Cause.ABSENT, str(error)) from error
    api.user_agent = COMPONENT
    return _Client(api, DiscoveryV1Api(api), EventsV1Api(api))


def _token(account: Path) -> str:
    try:
        return (account / "token").read_text().strip()
    except OSError as error:
        raise Unanswered(Cause.ABSENT, str(error)) from error


async def _changes(stream: "StreamReader") -> AsyncIterator[Change]:
    while True:
        with _faults():
            async with asyncio.timeout(_SILENCE):
                text = await stream.readline()
        # Half a line is how a connection looks that broke within it.
        if not text.endswith(b"\n"):
            return
        yield read_line(text)


async def _body(response: "ClientResponse") -> bytes:
    """All of an answer. Raises Unanswered and SlicesGone for those that are none."""
    body = await response.read()
    if response.status >= _NO_ANSWER:
        raise fault(response.status, read_reason(body), response.headers.get("Retry-After", ""))
    return body


@contextmanager
def _faults() -> Iterator[None]:
    """Whatever the library raises, in our words."""
    from aiohttp import ClientError

    try:
        yield
    except (ClientError, OSError) as error:
        raise Unanswered(Cause.UNREACHABLE, str(error) or type(error).__name__) from error
    except ValueError as error:
        # A line without an end, or an encoding that nobody asked for.
        raise Unanswered(Cause.GARBAGE, str(error)) from error


def _series(count: int, now: datetime) -> dict[str, object]:
    return {"count": count, "lastObservedTime": now}


def _now() -> datetime:
    """Never at a whole second: the library then leaves the fraction out, and the server insists on six digits."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond or 1)
