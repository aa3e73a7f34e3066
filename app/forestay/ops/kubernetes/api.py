"""Speaks to the cluster's API: reads EndpointSlices, writes Events, and turns every fault into Unanswered.

The client library is large: it takes a hundred megabytes on disk, and up to a second to load. It is loaded with the
first request, in a thread. A gateway without a cluster never loads it.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from forestay.ops.kubernetes.answers import NOT_FOUND, fault, read_line, read_list, read_reason, read_review
from forestay.ops.kubernetes.endpoints import Change, Slice
from forestay.ops.kubernetes.events import Occurrence
from forestay.ops.kubernetes.unanswered import Cause, Unanswered

if TYPE_CHECKING:
    from aiohttp import ClientResponse, StreamReader
    from kubernetes.aio.client import ApiClient, DiscoveryV1Api, EventsV1Api

ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""The folder with the pod's token and the certificate of the API server's authority."""

COMPONENT: Final = "forestay"
"""Our name in the cluster's audit log and in our events."""

# Seconds for one answer, and for the start of a watch.
_TIMEOUT: Final = 10.0

# Seconds that a watch may be silent. Bookmarks come once a minute. A connection that a firewall has dropped is silent
# for ever, and our list would grow old unnoticed.
_SILENCE: Final = 150.0

# Bytes of an event's note; the server refuses longer ones.
_LONGEST_NOTE: Final = 1024

# Statuses from here on are errors.
_NO_ANSWER: Final = 300


@dataclass(frozen=True, slots=True)
class Pod:
    """The names of our pod in the cluster."""

    namespace: str
    name: str
    uid: str = ""
    """Empty where it is not known. Then `kubectl describe` does not show the events with the pod."""


@dataclass(frozen=True, slots=True)
class _Client:
    """The parts of the client library that we use."""

    api: "ApiClient"
    discovery: "DiscoveryV1Api"
    events: "EventsV1Api"


class Cluster:
    """The Slices and the Journal of a real cluster. The API server is looked for with the first request."""

    def __init__(self, pod: Pod, service: str, account: Path = ACCOUNT) -> None:
        """`service`: our Service, in the pod's namespace. `account`: the folder with the token and the authority."""
        self._pod = pod
        self._selector = f"kubernetes.io/service-name={service}"
        self._account = account
        self._client: _Client | None = None
        self._opening = asyncio.Lock()
        self._closed = False

    async def list(self) -> "tuple[list[Slice], str]":
        """Return the EndpointSlices of our Service and the version to watch from. Raises Unanswered and SlicesGone."""
        client = await self._open()
        with _faults():
            response = await client.discovery.list_namespaced_endpoint_slice_without_preload_content(
                self._pod.namespace, label_selector=self._selector, _request_timeout=_TIMEOUT
            )
            body = await _body(response)
        return read_list(body)

    @asynccontextmanager
    async def watch(self, version: str, seconds: int) -> AsyncIterator[AsyncIterator[Change]]:
        """Yield the changes after `version`. Raises Unanswered and SlicesGone."""
        client = await self._open()
        with _faults():
            async with asyncio.timeout(_TIMEOUT):
                response = await client.discovery.list_namespaced_endpoint_slice_without_preload_content(
                    self._pod.namespace,
                    label_selector=self._selector,
                    resource_version=version,
                    watch=True,
                    allow_watch_bookmarks=True,
                    timeout_seconds=seconds,
                    # The library's own limit is five minutes for the whole watch, also while changes come.
                    _request_timeout=seconds + _TIMEOUT,
                )
        try:
            with _faults():
                if response.status >= _NO_ANSWER:
                    await _body(response)
            yield _changes(response.content)
        finally:
            response.close()

    async def create(self, occurrence: Occurrence) -> str:
        """Write an event about our pod and return its name. Raises Unanswered."""
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
                # The server refuses a series of a single event.
                "series": _series(occurrence.count, now) if occurrence.count > 1 else None,
            }
        )
        with _faults():
            await _body(
                await client.events.create_namespaced_event_without_preload_content(
                    self._pod.namespace, event, _request_timeout=_TIMEOUT
                )
            )
        return name

    async def repeat(self, name: str, count: int) -> bool:
        """Set the count of our event. Returns False where the event is gone. Raises Unanswered."""
        client = await self._open()
        with _faults():
            # Only the series may change: the server refuses another note.
            response = await client.events.patch_namespaced_event_without_preload_content(
                name, self._pod.namespace, {"series": _series(count, _now())}, _request_timeout=_TIMEOUT
            )
            if response.status == NOT_FOUND:
                response.release()
                return False
            await _body(response)
        return True

    async def allows(self, verb: str, group: str, resource: str) -> bool:
        """Ask whether this pod may do that in its namespace. Every account may ask. Raises Unanswered."""
        client = await self._open()
        from kubernetes.aio.client import AuthorizationV1Api, V1SelfSubjectAccessReview

        wanted = {"namespace": self._pod.namespace, "verb": verb, "group": group, "resource": resource}
        review = V1SelfSubjectAccessReview.model_validate({"spec": {"resourceAttributes": wanted}})
        with _faults():
            body = await _body(
                await AuthorizationV1Api(client.api).create_self_subject_access_review_without_preload_content(
                    review, _request_timeout=_TIMEOUT
                )
            )
        return read_review(body)

    async def close(self) -> None:
        """Close every connection. Later requests raise Unanswered.

        Every watch must have ended: the library does not wake a reader of a connection that it closes.
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
    """Load the library and the pod's service account, without a request. Raises Unanswered."""
    try:
        from kubernetes.aio.client import ApiClient, Configuration, DiscoveryV1Api, EventsV1Api
        from kubernetes.aio.config import ConfigException
        from kubernetes.aio.config.incluster_config import InClusterConfigLoader
    except ImportError as error:
        raise Unanswered(Cause.ABSENT, f"the client library is not installed: {error}") from error

    def renew(configuration: Configuration) -> None:
        configuration.api_key["BearerToken"] = f"Bearer {_token(account)}"

    configuration = Configuration()
    # Python 3.13 refuses authorities without a key identifier, and old clusters have such.
    configuration.disable_strict_ssl_verification = True
    try:
        InClusterConfigLoader(str(account / "token"), str(account / "ca.crt"), try_refresh_token=False).load_and_set(
            configuration
        )
        # The loader's own refresh keeps a token for a minute. We make few requests, so we read the token for each one.
        # Then a revoked token is never used twice.
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
        # Half a line means that the connection broke.
        if not text.endswith(b"\n"):
            return
        yield read_line(text)


async def _body(response: "ClientResponse") -> bytes:
    """Return the body of an answer. Raises Unanswered and SlicesGone for an error status."""
    body = await response.read()
    if response.status >= _NO_ANSWER:
        raise fault(response.status, read_reason(body), response.headers.get("Retry-After", ""))
    return body


@contextmanager
def _faults() -> Iterator[None]:
    """Turn what the library raises into Unanswered."""
    from aiohttp import ClientError

    try:
        yield
    except (ClientError, OSError) as error:
        raise Unanswered(Cause.UNREACHABLE, str(error) or type(error).__name__) from error
    except ValueError as error:
        # A line without an end, or an encoding that we did not ask for.
        raise Unanswered(Cause.GARBAGE, str(error)) from error


def _series(count: int, now: datetime) -> dict[str, object]:
    return {"count": count, "lastObservedTime": now}


def _now() -> datetime:
    """Return the time, never at a whole second: the library would omit the fraction, and the server requires it."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond or 1)
