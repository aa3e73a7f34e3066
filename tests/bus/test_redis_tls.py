"""Over TLS the pod trusts whom its address names and nobody else, and follows files that are renewed."""

import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from forestay.bus.redis.client.address import parse_address
from forestay.bus.redis.client.connection import Misconfigured, open_client
from forestay.bus.redis.client.tls import tls_context
from tests.support.local_redis import Authority, RedisServer, Road


@pytest.fixture
async def road(redis: RedisServer, authority: Authority) -> AsyncIterator[Road]:
    """A way over TLS to the Redis that tests share."""
    road = Road(redis.port, authority.tls())
    await road.open()
    yield road
    await road.close()


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """The file of another authority."""
    return Authority(tmp_path).ca


async def test_the_authorities_of_a_file_take_the_place_of_those_of_the_system(
    road: Road, authority: Authority, other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that the system's authorities vouch for is refused where the address names another authority."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))
    system = parse_address(f"rediss://127.0.0.1:{road.port}")
    (await open_client(system, system.hosts[0], 30)).drop()
    with pytest.raises(Misconfigured, match=r"\?ca="):
        await open_client(replace(system, ca=str(other)), system.hosts[0], 30)


def test_files_are_read_once_and_again_when_they_change(authority: Authority, other: Path, tmp_path: Path) -> None:
    """Connections share a context until one of its files is another one."""
    certificate, key = authority.client(tmp_path)
    ca = tmp_path / "mounted.crt"
    shutil.copy(authority.ca, ca)
    address = parse_address(f"rediss://cache?ca={ca}&cert={certificate}&key={key}")
    first = tls_context(address)
    assert tls_context(address) is first
    authority.client(tmp_path)
    second = tls_context(address)
    assert second is not first
    other.replace(ca)
    third = tls_context(address)
    assert third is not second
    assert third.get_ca_certs() != second.get_ca_certs()


async def test_files_that_cannot_be_used_any_more_are_named(road: Road, authority: Authority, tmp_path: Path) -> None:
    """A connection that is made while they are being replaced fails with what is wrong, and the next one works."""
    ca = tmp_path / "mounted.crt"
    address = parse_address(f"rediss://127.0.0.1:{road.port}?ca={ca}")
    for text, reason in (("", "names no file"), ("half of it", "PEM form")):
        if text:
            ca.write_text(text)
        with pytest.raises(Misconfigured, match=reason):
            await open_client(address, address.hosts[0], 30)
    shutil.copy(authority.ca, ca)
    (await open_client(address, address.hosts[0], 30)).drop()
