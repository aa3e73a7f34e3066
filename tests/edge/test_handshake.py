"""The handshake admits callers, or refuses them in one order of checks."""

import asyncio
import base64
import gc
import json
import time
import weakref

import pytest
import structlog

from forestay.edge.handshake.origins import Origins
from tests.support.gateway import Client, frame, gateway, token, upgrade

GOOD = token()


def in_base64url(text: str) -> str:
    return "base64url.bearer.forestay." + base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "request_",
    [
        upgrade(GOOD, Upgrade="notwebsocket"),
        upgrade(GOOD, Upgrade=None),
        upgrade(GOOD, Connection="keep-alive"),
        upgrade(GOOD, Connection="notupgrade"),
        upgrade(GOOD, Sec_WebSocket_Version="8"),
        upgrade(GOOD, Sec_WebSocket_Version=None),
        upgrade(GOOD, Sec_WebSocket_Key="short"),
        upgrade(GOOD, Sec_WebSocket_Key=None),
        upgrade(GOOD).replace(b"GET", b"POST"),
        upgrade(GOOD).replace(b"HTTP/1.1", b"HTTP/1.0"),
        upgrade(GOOD, Content_Length="3") + b"abc",
        upgrade(GOOD, Sec_WebSocket_Protocol="chat"),
        upgrade(GOOD, Sec_WebSocket_Protocol=in_base64url(GOOD)),
        upgrade(GOOD, path=f"/ws?token={token('bob')}"),
    ],
)
async def test_a_malformed_handshake_is_refused_with_400(request_: bytes) -> None:
    """The response has a code and a message."""
    async with gateway() as running:
        client = await Client.request(running.port, request_)
        assert client.status == 400
        problem = json.loads(client.body)
        assert problem["status"] == 400
        assert problem["code"] in ("bad_message", "bad_token")
        assert problem["detail"]


@pytest.mark.parametrize(
    ("bearer", "path", "offered"),
    [
        (GOOD, "/ws", None),
        (GOOD, "/ws", "forestay.v1"),
        (None, f"/ws?access_token={GOOD}", None),
        (None, f"/ws?token={GOOD}", None),
        (None, "/ws", f"forestay.v1, {in_base64url(GOOD)}"),
        (GOOD, f"/ws?token={GOOD}", f"{in_base64url(GOOD)}, forestay.v1"),
    ],
)
async def test_a_token_may_come_in_three_ways(bearer: str | None, path: str, offered: str | None) -> None:
    """Header, subprotocol and query are equal, and the response does not repeat the token."""
    async with gateway() as running:
        client = await Client.request(running.port, upgrade(bearer, path, Sec_WebSocket_Protocol=offered))
        assert client.status == 101
        assert client.headers.get("sec-websocket-protocol") == ("forestay.v1" if offered else None)
        assert (await client.hear("welcome"))["payload"]["user"] == "alice"
        await client.close()


@pytest.mark.parametrize(
    "bearer", [None, "", "rubbish", token(exp=time.time() - 1), token(exp="soon"), GOOD[:-2] + "xx", "a" * 5000]
)
async def test_a_request_without_a_good_token_is_refused_with_401(bearer: str | None) -> None:
    """A missing, malformed, expired, forged or overlong token is refused with a reason."""
    async with gateway() as running:
        client = await Client.request(running.port, upgrade(bearer))
        assert client.status == 401
        assert client.headers["www-authenticate"] == "Bearer"
        assert json.loads(client.body)["code"] == "bad_token"


async def test_a_request_without_a_token_is_told_all_ways_to_send_one() -> None:
    """A handshake and the plain GET that asks for it have four; a stream and a single request have fewer."""
    header, protocol = "Authorization: Bearer", "base64url.bearer.forestay."
    ticket, query = "?ticket=", "?access_token="
    ways = {
        "/ws": (header, protocol, ticket, query),
        "/stream?room=a": (header, ticket, query),
        "/rooms/a/history": (header, query),
    }
    async with gateway() as running:
        for path, named in ways.items():
            requests = [f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode()]
            if path == "/ws":
                requests.append(upgrade(None))
            for request in requests:
                client = await Client.request(running.port, request)
                detail = json.loads(client.body)["detail"]
                assert client.status == 401
                assert [way for way in (header, protocol, ticket, query) if way in detail] == list(named)


async def test_a_token_in_the_url_can_be_switched_off() -> None:
    """The query is ignored then, and the refusal says so."""
    async with gateway(query_token=False) as running:
        client = await Client.request(running.port, upgrade(None, f"/ws?token={GOOD}"))
        assert client.status == 401
        assert "no token but in its URL" in json.loads(client.body)["detail"]
        assert (await Client.request(running.port, upgrade(GOOD, "/ws?token=other"))).status == 101


@pytest.mark.parametrize(
    ("allowed", "origin", "status"),
    [
        ("", "http://127.0.0.1", 101),
        ("", "http://127.0.0.1:80", 101),
        ("", "http://127.0.0.1:81", 403),
        ("", "http://127.0.0.1.evil.example", 403),
        ("https://app.example.com", None, 101),
        ("https://app.example.com", "https://app.example.com", 101),
        ("https://app.example.com", "https://APP.example.com:443", 101),
        ("https://app.example.com", "http://app.example.com", 403),
        ("https://app.example.com", "https://app.example.com.evil.example", 403),
        ("https://app.example.com", "https://evilapp.example.com", 403),
        ("https://app.example.com", "https://app.example.com:8443", 403),
        ("https://app.example.com", "null", 403),
        ("https://app.example.com", "", 101),
        ("", "", 101),
        ("https://*.example.com", "https://a.b.example.com", 101),
        ("https://*.example.com", "https://example.com", 403),
        ("https://*.example.com", "https://evilexample.com", 403),
        ("https://*.example.com", "https://*.example.com", 403),
        ("https://*.example.com", "https://*.a.example.com", 403),
        ("https://app.example.com", "https://app.exa\tmple.com", 403),
        ("https://app.example.com", "https://app.example.com/", 403),
        ("https://app.example.com", "https://app.example.com.", 403),
        ("https://[::1]:8443", "https://[::1]:8443", 101),
        ("*", "https://anything.example", 101),
        ("*", "null", 101),
        ("capacitor://localhost", "capacitor://localhost", 101),
        ("capacitor://localhost", "ionic://localhost", 403),
        ("capacitor://localhost", "capacitor://localhost:1", 403),
        ("capacitor://localhost", "http://localhost", 403),
        ("tauri://localhost, app://obsidian.md", "app://obsidian.md", 101),
        ("chrome-extension://abcdefghijklmnop", "chrome-extension://abcdefghijklmnop", 101),
        ("chrome-extension://abcdefghijklmnop", "chrome-extension://ponmlkjihgfedcba", 403),
        ("moz-extension://2b6b1c62-3d6e-4d6d-8f0d-2e7d0c7b9c11", "moz-extension://2b6b1c62-3d6e", 403),
        ("file://", "file://", 101),
        ("file://", "null", 403),
        ("null", "null", 101),
        ("null", "http://127.0.0.1", 403),
        ("", "null", 403),
        ("", "file://", 403),
        ("", "capacitor://127.0.0.1", 403),
    ],
)
async def test_only_pages_of_allowed_origins_connect(allowed: str, origin: str | None, status: int) -> None:
    """Origins are compared whole. A request without an Origin, or with an empty one, is not from a page."""
    async with gateway(allowed_origins=allowed) as running:
        client = await Client.request(running.port, upgrade(GOOD, Origin=origin))
        assert client.status == status
        await client.close()


@pytest.mark.parametrize(
    "listed",
    [
        "example.com",
        "https://",
        "https://a/",
        "https://a.*.example",
        "https://**.example",
        "chrome-extension://*",
        "https://a b",
        "https://bücher.example",
        "file:///",
        "NULL",
        "https://user@a.example",
        "https://a.example?",
        "://",
    ],
)
def test_what_is_no_origin_cannot_be_listed(listed: str) -> None:
    """The error repeats the entry and shows the form that an origin has."""
    with pytest.raises(ValueError, match="://") as caught:
        Origins([listed])
    assert repr(listed) in str(caught.value)


async def test_a_refused_origin_is_explained() -> None:
    """The answer and the log name what was seen, what is allowed, and the setting."""
    many = [f"https://app-{number}.example.com" for number in range(50)]
    async with gateway(allowed_origins=" ".join(many)) as running:
        with structlog.testing.capture_logs() as lines:
            client = await Client.request(running.port, upgrade(GOOD, Origin="https://evil.example"))
        detail = json.loads(client.body)["detail"]
        for part in ('"https://evil.example"', "https://app-0.example.com", " more", "FORESTAY_ALLOWED_ORIGINS"):
            assert part in detail
        assert len(detail) < 700
        [line] = [line for line in lines if line["event"] == "handshakes refused"]
        assert line["last 403 forbidden"] == f"{detail} (client 127.0.0.1)"
    async with gateway() as running:
        client = await Client.request(running.port, upgrade(GOOD, Origin="x" * 5000))
        detail = json.loads(client.body)["detail"]
        assert 'the same host, "127.0.0.1"' in detail
        assert len(detail) < 400


async def test_a_request_with_two_origins_is_refused() -> None:
    """It is refused also where the first one is allowed."""
    async with gateway(allowed_origins="https://a.example") as running:
        line = b"Origin: https://a.example\r\n"
        request = upgrade(GOOD).replace(b"\r\n\r\n", b"\r\n" + line + b"Origin: https://b.example\r\n\r\n")
        assert (await Client.request(running.port, request)).status == 403


async def test_a_full_pod_refuses_with_a_retry_time() -> None:
    """503 has a Retry-After that differs between callers. A connection that ends makes room for another."""
    async with gateway(max_connections=1) as running:
        first = await running.connect()
        waits = set()
        for _ in range(20):
            refused = await Client.request(running.port, upgrade(GOOD))
            assert refused.status == 503
            waits.add(int(refused.headers["retry-after"]))
        assert len(waits) > 1
        await first.close()
        while (again := await Client.request(running.port, upgrade(GOOD))).status == 503:
            await asyncio.sleep(0.01)
        assert again.status == 101
        await again.close()


async def test_admission_checks_come_in_one_order() -> None:
    """The order is form, capacity, origin, token."""
    bad_form = upgrade("bad", Upgrade="no", Origin="https://evil.example")
    bad_origin = upgrade("bad", Origin="https://evil.example")
    async with gateway(max_connections=1) as running:
        assert (await Client.request(running.port, bad_origin)).status == 403
        assert (await Client.request(running.port, upgrade("bad"))).status == 401
        first = await running.connect()
        assert (await Client.request(running.port, bad_form)).status == 400
        assert (await Client.request(running.port, bad_origin)).status == 503
        await first.close()


async def test_the_public_port_serves_one_path() -> None:
    """Probes, metrics and the API are not on the public port."""
    async with gateway() as running:
        for path in ("/", "/livez", "/readyz", "/metrics", "/v1/rooms/a/messages", "/ops", "/demo/main.js"):
            client = await Client.request(running.port, upgrade(GOOD, path, Connection="close"))
            assert client.status == 404, path


async def test_subprotocols_in_several_lines_are_one_list() -> None:
    """RFC 6455 allows it. The response names our subprotocol once, and no software version."""
    first, second = f"Sec-WebSocket-Protocol: {in_base64url(GOOD)}\r\n", "Sec-WebSocket-Protocol: forestay.v1\r\n"
    request = upgrade(None).replace(b"Upgrade:", (first + second + "Upgrade:").encode(), 1)
    async with gateway() as running:
        client = await Client.request(running.port, request)
        assert client.status == 101
        assert client.headers["sec-websocket-protocol"] == "forestay.v1"
        assert client.headers["server"] == "forestay"


async def test_credentials_of_another_scheme_are_no_token() -> None:
    """A proxy's password beside a token is ignored. Alone it is a missing token."""
    async with gateway() as running:
        basic = {"Authorization": "Basic dXNlcjpwYXNz"}
        beside = await Client.request(running.port, upgrade(None, path=f"/ws?token={GOOD}", **basic))
        assert beside.status == 101
        alone = await Client.request(running.port, upgrade(None, **basic))
        assert (alone.status, json.loads(alone.body)["code"]) == (401, "bad_token")


async def test_a_client_that_does_not_mask_is_ended_with_1002() -> None:
    """RFC 6455 §5.1 requires masks. The first two bytes may arrive together or separately."""
    unmasked = frame(1, b'{"type":"ping"}', masked=False)
    async with gateway() as running:
        for pieces in ([unmasked], [unmasked[:1], unmasked[1:]]):
            client = await running.connect()
            for piece in pieces:
                await client.send(piece)
                await asyncio.sleep(0)
            assert (await client.ended()).code == 1002
        masked = await running.connect()
        for byte in frame(1, b'{"type":"ping"}'):
            await masked.send(bytes([byte]))
        assert (await masked.hear())["type"] == "pong"


async def test_an_ended_connection_is_not_kept() -> None:
    """Neither the close timeout nor the protocol error holds the transport in memory."""
    async with gateway() as running:
        client = await running.connect()
        [connection] = running.running._pod.hub.everybody()
        kept = weakref.ref(connection.transport.transport)  # type: ignore[attr-defined]
        del connection
        await client.send(frame(0x83, b""))
        assert (await client.ended()).code == 1002
        await client.close()
        async with asyncio.timeout(3):
            while kept() is not None:
                gc.collect()
                await asyncio.sleep(0.01)
