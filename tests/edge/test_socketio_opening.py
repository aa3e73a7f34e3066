"""What is kept of the request that opens the session of a Socket.IO client."""

import pytest
from aiohttp.test_utils import make_mocked_request

from forestay.edge.engineio.application import Opening
from forestay.edge.socketio.opening import Clients, PacketLimits
from tests.support.engine_session import RecordedSession


class NoNamespaces:
    """An application without a namespace."""

    def has(self, namespace: str) -> bool:
        return False

    async def enter(self, client: object, namespace: str, auth: object) -> None:
        raise AssertionError("there is nothing to enter")


@pytest.mark.parametrize(
    ("path", "headers", "query_token", "token"),
    [
        ("/", {}, True, None),
        ("/", {"Authorization": "Bearer t"}, False, "t"),
        ("/?token=t", {}, True, "t"),
        ("/?access_token=t", {}, True, "t"),
        ("/?token=t", {}, False, None),
    ],
)
def test_the_token_is_in_the_header_or_in_the_url(
    path: str, headers: dict[str, str], token: str | None, *, query_token: bool
) -> None:
    """A token in the URL counts only where the settings accept it."""
    clients = Clients(NoNamespaces(), PacketLimits(1000, 32), query_token=query_token)
    client = clients.opened(RecordedSession(), Opening(make_mocked_request("GET", path, headers), "192.0.2.1"))
    assert (client.origin.token, client.origin.address) == (token, "192.0.2.1")


@pytest.mark.parametrize(("agent", "deaf"), [("okhttp/3.12.12", True), ("Mozilla/5.0", False), ("", False)])
def test_clients_on_okhttp_are_known(agent: str, *, deaf: bool) -> None:
    """They hear nothing of a close frame, so their connection is cut where they should come back."""
    clients = Clients(NoNamespaces(), PacketLimits(1000, 32), query_token=False)
    request = make_mocked_request("GET", "/", {"User-Agent": agent})
    assert clients.opened(RecordedSession(), Opening(request, None)).origin.deaf is deaf
