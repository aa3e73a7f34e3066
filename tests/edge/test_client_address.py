"""Only trusted proxies say the address of a client, and the public paths can have a prefix."""

import json
import struct
from ipaddress import ip_address

import pytest
import structlog
from multidict import CIMultiDict, CIMultiDictProxy

from forestay.edge.client_address import TrustedProxies
from forestay.settings.settings import SettingsError, load
from tests.support.gateway import SECRET, Client, Gateway, gateway, token, upgrade

GOOD = token()
OURS = ["10.0.0.0/8", "fd00::/8"]
XFF, FORWARDED = "X-Forwarded-For", "Forwarded"


def client(peer: str | None, *headers: tuple[str, str], trusted: list[str] = OURS) -> str | None:
    return TrustedProxies(trusted).client(peer, CIMultiDictProxy(CIMultiDict(headers)))


@pytest.mark.parametrize(
    ("peer", "headers", "address"),
    [
        # Without a trusted peer no header counts.
        ("192.0.2.1", [(XFF, "203.0.113.7")], "192.0.2.1"),
        ("192.0.2.1", [(FORWARDED, "for=203.0.113.7")], "192.0.2.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        # The right-most address that is not a proxy counts, and what the client wrote before it does not.
        ("10.0.0.1", [(XFF, "203.0.113.7")], "203.0.113.7"),
        ("10.0.0.1", [(XFF, "1.1.1.1, 203.0.113.7")], "203.0.113.7"),
        ("10.0.0.1", [(XFF, "1.1.1.1, 203.0.113.7, 10.2.3.4")], "203.0.113.7"),
        ("10.0.0.1", [(XFF, "1.1.1.1"), (XFF, "203.0.113.7")], "203.0.113.7"),
        ("10.0.0.1", [(XFF, "10.9.9.9, 10.2.3.4")], "10.9.9.9"),
        ("10.0.0.1", [(XFF, ", ".join(["1.1.1.1"] * 5000 + ["203.0.113.7"]))], "203.0.113.7"),
        # What cannot be read ends the walk: the nearest hop that is known counts.
        ("10.0.0.1", [(XFF, "1.1.1.1, unknown")], "10.0.0.1"),
        ("10.0.0.1", [(XFF, "1.1.1.1, garbage, 10.2.3.4")], "10.2.3.4"),
        ("10.0.0.1", [(XFF, "")], "10.0.0.1"),
        ("10.0.0.1", [(XFF, "x" * 10_000)], "10.0.0.1"),
        # Addresses come with ports, brackets, zones and quotes.
        ("10.0.0.1", [(XFF, "203.0.113.7:4711")], "203.0.113.7"),
        ("10.0.0.1", [(XFF, "2001:db8::7")], "2001:db8::7"),
        ("10.0.0.1", [(XFF, "[2001:db8::7]:4711")], "2001:db8::7"),
        ("fd00::1", [(XFF, "fe80::7%eth0")], "fe80::7"),
        ("::ffff:10.0.0.1", [(XFF, "::ffff:203.0.113.7")], "203.0.113.7"),
        ("::ffff:192.0.2.1", [], "192.0.2.1"),
        ("10.0.0.1", [(FORWARDED, 'for=1.1.1.1, For="[2001:db8::7]:4711";proto=https;by=10.0.0.9')], "2001:db8::7"),
        ("10.0.0.1", [(FORWARDED, "proto=https;for=203.0.113.7")], "203.0.113.7"),
        ("10.0.0.1", [(FORWARDED, "for=1.1.1.1, for=_hidden")], "10.0.0.1"),
        ("10.0.0.1", [(FORWARDED, "for=1.1.1.1, proto=https")], "10.0.0.1"),
        # Two headers that disagree: one of them is the client's own.
        ("10.0.0.1", [(XFF, "1.1.1.1"), (FORWARDED, "for=203.0.113.7")], "10.0.0.1"),
        ("10.0.0.1", [(XFF, "203.0.113.7"), (FORWARDED, "for=203.0.113.7")], "203.0.113.7"),
        (None, [(XFF, "203.0.113.7")], None),
    ],
)
def test_a_client_cannot_choose_its_address(
    peer: str | None, headers: list[tuple[str, str]], address: str | None
) -> None:
    """The address is the nearest one that no trusted proxy has."""
    assert client(peer, *headers) == address


def test_without_trusted_proxies_the_peer_counts() -> None:
    """No header is read."""
    assert client("10.0.0.1", (XFF, "203.0.113.7"), (FORWARDED, "for=203.0.113.7"), trusted=[]) == "10.0.0.1"


@pytest.mark.parametrize("wrong", ["10.0.0.0/33", "10.0.0.1/8", "proxy.example.com", "*"])
def test_a_network_that_cannot_be_read_is_named(wrong: str) -> None:
    """So is the form that it must have."""
    with pytest.raises(SettingsError, match=r"FORESTAY_TRUSTED_PROXIES: .*10\.0\.0\.0/8"):
        load({"FORESTAY_JWT_SECRET": SECRET, "FORESTAY_TRUSTED_PROXIES": f"192.0.2.0/24 {wrong}"})


async def seen(running: Gateway, request: bytes) -> str:
    """The address that the log has for a refused request."""
    with structlog.testing.capture_logs() as lines:
        await Client.request(running.port, request)
    [found] = [line["client"] for line in lines if line["event"] == "handshake refused"]
    return str(found)


async def test_the_log_has_the_address_of_the_client() -> None:
    """It has that of a trusted proxy's header, and of no other one. Further headers about the client are ignored."""
    spoofed = {"X_Forwarded_For": "203.0.113.7", "X_Forwarded_Proto": "https", "X_Forwarded_Host": "evil.example"}
    async with gateway(trusted_proxies="127.0.0.1") as running:
        assert await seen(running, upgrade("bad", **spoofed)) == "203.0.113.7"
    async with gateway() as running:
        assert await seen(running, upgrade("bad", **spoofed)) == "127.0.0.1"
        # The Host counts for the origin, and what a header says instead of it does not.
        asked = await Client.request(running.port, upgrade(GOOD, Origin="https://evil.example", **spoofed))
        assert asked.status == 403
        named = await Client.request(running.port, upgrade(None, X_Forwarded_User="alice", Cookie=f"token={GOOD}"))
        assert (named.status, json.loads(named.body)["code"]) == (401, "bad_token")


def v2(source: str, command: int = 0x21, more: bytes = b"") -> bytes:
    """A header of the PROXY protocol, version 2."""
    address = ip_address(source)
    addresses = address.packed + (b"\0" * len(address.packed)) + struct.pack("!HH", 4711, 80) + more
    family = 0x11 if address.version == 4 else 0x21
    return b"\r\n\r\n\0\r\nQUIT\n" + struct.pack("!BBH", command, family, len(addresses)) + addresses


@pytest.mark.parametrize(
    ("header", "address"),
    [
        (b"", "127.0.0.1"),
        (b"PROXY TCP4 203.0.113.7 192.0.2.1 4711 80\r\n", "203.0.113.7"),
        (b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 80\r\n", "2001:db8::7"),
        (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
        (v2("203.0.113.7"), "203.0.113.7"),
        (v2("2001:db8::7", more=b"\x04\0\x01x"), "2001:db8::7"),
        (v2("203.0.113.7", command=0x20), "127.0.0.1"),
    ],
)
async def test_a_trusted_proxy_may_send_the_proxy_protocol(header: bytes, address: str) -> None:
    """Its address counts as that of the peer. The header may come in any pieces."""
    async with gateway(trusted_proxies="127.0.0.1 ::1") as running:
        assert await seen(running, header + upgrade("bad")) == address
        for size in (1, 11, 13):
            client = await Client.open_connection(running.port)
            whole = header + upgrade(GOOD)
            for at in range(0, len(whole), size):
                await client.send(whole[at : at + size])
            assert (await client.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
            await client.hear("welcome")


@pytest.mark.parametrize(
    "header",
    [
        b"PROXY TCP4 203.0.113.7\r\n",
        b"PROXY TCP4 nowhere 192.0.2.1 4711 80\r\n",
        b"PROXY " + b"x" * 200,
        v2("203.0.113.7", command=0x31),
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff",
    ],
)
async def test_a_malformed_proxy_header_is_refused(header: bytes) -> None:
    """The answer is that to any malformed request."""
    async with gateway(trusted_proxies="127.0.0.1") as running:
        assert (await Client.request(running.port, header + upgrade(GOOD))).status == 400


@pytest.mark.parametrize("header", [b"PROXY TCP4 203.0.113.7 192.0.2.1 4711 80\r\n", v2("203.0.113.7")])
async def test_a_stranger_may_not_send_the_proxy_protocol(header: bytes) -> None:
    """Its bytes are a malformed request."""
    async with gateway(trusted_proxies="192.0.2.0/24") as running:
        assert (await Client.request(running.port, header + upgrade(GOOD))).status == 400


async def test_public_paths_can_have_a_prefix() -> None:
    """The WebSocket and the demo page are below it and nowhere else, and the page needs no path of its own."""
    async with gateway(path_prefix="/apps/chat/", demo=True) as running:
        assert (await Client.request(running.port, upgrade(GOOD, "/apps/chat/ws"))).status == 101
        page = await Client.request(running.port, b"GET /apps/chat/ HTTP/1.1\r\nHost: a\r\n\r\n")
        assert page.status == 200
        assert b'"/' not in page.body
        assert (
            await Client.request(running.port, b"GET /apps/chat/demo/main.js HTTP/1.1\r\nHost: a\r\n\r\n")
        ).status == 200
        without = await Client.request(running.port, b"GET /apps/chat HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (without.status, without.headers["location"]) == (308, "/apps/chat/")
        for path in ("/ws", "/", "/demo/main.js", "/apps/chatws"):
            assert (await Client.request(running.port, upgrade(GOOD, path))).status == 404, path


@pytest.mark.parametrize("given", ["", "/", "chat", "/chat", "chat/", "/chat/"])
def test_a_prefix_may_be_written_in_any_form(given: str) -> None:
    """Slashes around it do not matter."""
    assert load({"FORESTAY_JWT_SECRET": SECRET, "FORESTAY_PATH_PREFIX": given}).path_prefix == (
        "/chat" if "chat" in given else ""
    )


@pytest.mark.parametrize("wrong", ["/a b", "/a//b", "/../a", "/a?b", "https://a.example/x", "/ü", "/a%20b"])
def test_what_is_no_path_is_no_prefix(wrong: str) -> None:
    """The error shows the form."""
    with pytest.raises(SettingsError, match=r"FORESTAY_PATH_PREFIX: .*/chat"):
        load({"FORESTAY_JWT_SECRET": SECRET, "FORESTAY_PATH_PREFIX": wrong})
