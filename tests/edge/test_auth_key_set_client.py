"""The document of a key set is read through a proxy and with a private authority, and errors repeat no secret."""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web

from forestay.edge.tokens.key_set_client import KeySetClient, NotFetched
from tests.support.local_redis import Authority

HOST = "issuer.test"
CANARY = "canary-in-the-mine"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine that runs the tests may have a proxy of its own."""
    for name in ("https_proxy", "http_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@asynccontextmanager
async def issuer(context: ssl.SSLContext) -> AsyncIterator[int]:
    """The port of an https server on loopback that answers each request with `keys`."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(text=f"keys for {request.host}", headers={"Cache-Control": "max-age=7"})

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@dataclass
class Proxy:
    """A forward proxy on loopback. It connects to the port that it is asked for, on loopback, whatever the host."""

    refusal: int = 0
    """The status with which it refuses, or 0."""
    port: int = 0
    heads: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Proxy"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        async with server:
            yield self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.heads.append(head)
        if self.refusal:
            writer.write(f"HTTP/1.1 {self.refusal} No\r\nContent-Length: 0\r\n\r\n".encode())
            writer.close()
            return
        target = head.split()[1]
        upstream, downstream = await asyncio.open_connection("127.0.0.1", int(target.rpartition(":")[2]))
        writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        await asyncio.gather(_pipe(reader, downstream), _pipe(upstream, writer))


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
    except ConnectionError:
        pass
    writer.close()


async def failure(client: KeySetClient) -> str:
    with pytest.raises(NotFetched) as caught:
        await client.download(10)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return str(caught.value)


async def test_a_private_authority_is_trusted_where_it_is_named(authority: Authority) -> None:
    """Without it the certificate is not trusted, and the error names the setting."""
    async with issuer(authority.tls("localhost")) as port:
        url = f"https://localhost:{port}/keys"
        document = await KeySetClient(url, authority.ca).download(10)
        assert document[:2] == (f"keys for localhost:{port}".encode(), "max-age=7")
        assert "FORESTAY_JWKS_CA" in await failure(KeySetClient(url))


async def test_only_the_named_authority_is_trusted(authority: Authority, tmp_path: Path) -> None:
    """A certificate of another authority, or for another host, is not accepted."""
    folder = tmp_path / "other"
    folder.mkdir()
    other = Authority(folder)
    async with issuer(authority.tls("localhost")) as port:
        assert "not trusted" in await failure(KeySetClient(f"https://localhost:{port}/keys", other.ca))
        assert "not trusted" in await failure(KeySetClient(f"https://127.0.0.1:{port}/keys", authority.ca))


async def test_a_file_of_the_authority_that_is_replaced_counts_at_once(authority: Authority, tmp_path: Path) -> None:
    """A mounted file changes while the gateway runs. One that is gone is a failed request that names it."""
    named = tmp_path / "mounted.pem"
    folder = tmp_path / "before"
    folder.mkdir()
    named.write_bytes(Authority(folder).ca.read_bytes())
    async with issuer(authority.tls("localhost")) as port:
        client = KeySetClient(f"https://localhost:{port}/keys", named)
        await failure(client)
        named.write_bytes(authority.ca.read_bytes())
        assert (await client.download(10))[0].startswith(b"keys")
        named.unlink()
        assert "mounted.pem: No such file" in await failure(client)


@pytest.mark.parametrize("content", [None, "", "no certificate", "-----BEGIN CERTIFICATE-----\nMIIB\n"])
def test_a_file_without_an_authority_is_an_error_at_the_start(tmp_path: Path, content: str | None) -> None:
    """The error names the file and the setting."""
    named = tmp_path / "ca.pem"
    if content is not None:
        named.write_text(content)
    with pytest.raises(ValueError, match=r"ca\.pem.*FORESTAY_JWKS_CA"):
        KeySetClient(f"https://{HOST}/keys", named)


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
async def test_the_proxy_of_the_environment_is_used(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """The request goes through it, TLS from end to end, so the host need not resolve here."""
    async with issuer(authority.tls(HOST)) as port, Proxy().running() as proxy:
        monkeypatch.setenv(variable, f"http://127.0.0.1:{proxy.port}")
        body, *_ = await KeySetClient(f"https://{HOST}:{port}/keys?{CANARY}", authority.ca).download(10)
        assert body == f"keys for {HOST}:{port}".encode()
        [head] = proxy.heads
        assert head.startswith(f"CONNECT {HOST}:{port} ")
        assert CANARY not in head
        assert "Authorization" not in head


async def test_the_login_of_a_proxy_is_used(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """User and password stand in the variable, percent-encoded."""
    async with issuer(authority.tls(HOST)) as port, Proxy().running() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"127.0.0.1:{proxy.port}".join(("http://ada:a%40b@", "")))
        await KeySetClient(f"https://{HOST}:{port}/keys", authority.ca).download(10)
        assert f"Basic {base64.b64encode(b'ada:a@b').decode()}" in proxy.heads[0]


@pytest.mark.parametrize("exempt", ["localhost", "*", "other.test, localhost", ".localhost,localhost"])
async def test_a_host_without_a_proxy_is_reached_directly(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, exempt: str
) -> None:
    """NO_PROXY lists hosts and ends of hosts, or all of them."""
    async with issuer(authority.tls("localhost")) as port, Proxy().running() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("NO_PROXY", exempt)
        await KeySetClient(f"https://localhost:{port}/keys", authority.ca).download(10)
        assert proxy.heads == []


@pytest.mark.parametrize("value", ["socks5://127.0.0.1:1", f"ftp://a:{CANARY}@b", "http://", f"http://a:{CANARY}@[::1"])
def test_a_proxy_that_cannot_be_used_is_an_error_at_the_start(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """The error names the variable, and not its value: it may have a password."""
    monkeypatch.setenv("HTTPS_PROXY", value)
    with pytest.raises(ValueError, match="HTTPS_PROXY") as caught:
        KeySetClient(f"https://{HOST}/keys")
    assert CANARY not in str(caught.value)
    KeySetClient("http://127.0.0.1/keys")


async def test_no_failure_repeats_the_login_of_the_proxy(monkeypatch: pytest.MonkeyPatch, authority: Authority) -> None:
    """A proxy that refuses, and one that cannot be reached, are named by what happened only."""
    url = f"https://{HOST}:1/keys?{CANARY}"
    async with Proxy(refusal=407).running() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://ada:{CANARY}@127.0.0.1:{proxy.port}")
        refused = await failure(KeySetClient(url, authority.ca))
    assert refused == "the proxy refused with status 407"
    unreachable = await failure(KeySetClient(url, authority.ca))
    assert unreachable.startswith("the proxy cannot be reached")
    monkeypatch.setenv("HTTPS_PROXY", "")
    for text in (unreachable, await failure(KeySetClient(url))):
        assert CANARY not in text
        assert text.isprintable()
