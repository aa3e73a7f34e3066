"""A client of event streams that reads them as the standard says, and one HTTP request on the public port."""

import asyncio
import json
from typing import Any
from urllib.parse import quote

from tests.support.gateway import PATIENCE, Client, Pod


def get(path: str, bearer: str | None = None, method: str = "GET", **headers: str) -> bytes:
    """A request. Underscores in the names of headers are hyphens."""
    fields = {"Host": "127.0.0.1"} | ({} if bearer is None else {"Authorization": f"Bearer {bearer}"})
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    return "\r\n".join(
        [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    ).encode("latin-1")


async def ask(
    pod: Pod, method: str, path: str, bearer: str | None = None, body: bytes | None = None, **headers: str
) -> tuple[Client, Any]:
    """The answer to one request on the public port, and the JSON in it."""
    length = {} if body is None else {"Content_Length": str(len(body))}
    client = await Client.request(pod.port, get(path, bearer, method, **headers | length) + (body or b""))
    return client, json.loads(client.body) if client.body.startswith((b"{", b"[")) else None


class Stream:
    """One connection of a client of event streams."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.status = 0
        self.headers: dict[str, str] = {}
        self.last_id = ""
        self.retry: int | None = None
        self.comments = 0
        self._id = ""

    @classmethod
    async def request(cls, pod: Pod, data: bytes) -> "Stream":
        """A stream of which the head has been read."""
        stream = cls(await Client.open_connection(pod.port, data))
        head = (await asyncio.wait_for(stream.client.reader.readuntil(b"\r\n\r\n"), PATIENCE)).decode("latin-1")
        status, *lines = head.split("\r\n")
        stream.status = int(status.split()[1])
        stream.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        return stream

    @classmethod
    async def open(
        cls, pod: Pod, bearer: str | None, *rooms: str, last_id: str | None = None, query: str = "", **headers: str
    ) -> "Stream":
        """A stream of `rooms`. `last_id`: that of the last event that the client has."""
        path = "/stream?" + "&".join([f"room={quote(room, safe='')}" for room in rooms] + [query] * bool(query))
        given = headers if last_id is None else headers | {"Last_Event_ID": last_id}
        stream = await cls.request(pod, get(path, bearer, **given))
        assert stream.status == 200, await stream.client.reader.read()
        return stream

    async def event(self) -> dict[str, Any] | None:
        """The JSON of the next event; None at the end of the stream."""
        data = await self.data()
        return None if data is None else dict(json.loads(data))

    async def data(self) -> str | None:
        """The data of the next event; None at the end of the stream."""
        data: list[str] = []
        while True:
            line = await asyncio.wait_for(self.client.reader.readline(), PATIENCE)
            if not line.endswith(b"\n"):
                return None
            name, _, value = line.decode()[:-1].partition(":")
            value = value.removeprefix(" ")
            if name == "data":
                data.append(value)
            elif name == "id":
                self._id = value
            elif name == "retry":
                self.retry = int(value)
            elif not name and line != b"\n":
                self.comments += 1
            elif line == b"\n":
                self.last_id = self._id
                if data:
                    return "\n".join(data)

    async def hear(self, *kinds: str) -> dict[str, Any]:
        """The next event, which is one of `kinds`."""
        event = await self.event()
        assert event is not None, "the stream has ended"
        assert not kinds or event["type"] in kinds, event
        return event

    async def until(self, kind: str) -> list[dict[str, Any]]:
        """All events to the next one of this kind."""
        events = [await self.hear()]
        while events[-1]["type"] != kind:
            events.append(await self.hear())
        return events

    async def rest(self) -> list[dict[str, Any]]:
        """All events to the end."""
        events = []
        while (event := await self.event()) is not None:
            events.append(event)
        return events
