"""What is found out about a Redis before a pod uses it."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from forestay.bus.redis.client.address import parse_address
from forestay.bus.redis.client.connection import Misconfigured, Unreachable
from forestay.bus.redis.examination import Examination, examine
from tests.support.local_redis import QUICK, Cluster, RedisServer, free_port, rights

COMMANDS = sorted(rule for rule in rights() if rule.startswith("+"))
# Without these a connection is not even checked.
AT_ONCE = {"+info", "+script|load"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    one = RedisServer(tmp_path_factory.mktemp("redis"), *QUICK)
    one.start()
    yield one
    one.close()


async def examined(server: RedisServer, *rules: str) -> Examination:
    """What is found by a user with these rules."""
    server.do("ACL", "SETUSER", "pod", "reset", "on", ">hunter2", *rules)
    url = server.url.replace("//", "//pod:hunter2@")
    [found] = await examine(parse_address(url), 5, time.time)
    return found


async def test_the_documented_rights_are_all(server: RedisServer) -> None:
    """With the rights of the page nothing is missing; the server is named, its clock is ours, and nothing is left."""
    found = await examined(server, *rights())
    assert (found.missing, found.others) == ([], [])
    assert found.server in ("Redis", "Valkey")
    assert found.version >= (6, 2)
    assert abs(found.ahead) < 1
    assert found.eviction == "noeviction"
    assert server.do("DBSIZE") == 0


@pytest.mark.parametrize("command", [rule for rule in COMMANDS if rule not in AT_ONCE])
async def test_each_command_that_is_missing_is_named(server: RedisServer, command: str) -> None:
    """Without one command of the page, exactly this one is named, and no key is left."""
    found = await examined(server, *(rule for rule in rights() if rule != command))
    assert (found.missing, found.others) == ([command], [])
    assert server.do("DBSIZE") == 0


@pytest.mark.parametrize("command", sorted(AT_ONCE))
async def test_a_connection_that_cannot_be_checked_is_an_error(server: RedisServer, command: str) -> None:
    """Without INFO or SCRIPT LOAD the error names the command and the remedy."""
    with pytest.raises(Misconfigured, match=rf"{command[1:].replace('|', '.')}.*give the Redis user that right"):
        await examined(server, *(rule for rule in rights() if rule != command))


async def test_keys_and_channels_are_rights_too(server: RedisServer) -> None:
    """A user with another prefix, or without channels, lacks the rules about keys and channels, and no command."""
    assert set((await examined(server, *rights("other"))).missing) == {"~forestay:*", "&forestay:*"}
    no_channels = await examined(server, *(rule for rule in rights() if not rule.startswith("&")))
    assert (no_channels.missing, no_channels.others) == (["&forestay:*"], [])


async def test_a_full_redis_is_told(server: RedisServer) -> None:
    """A server that has reached its maxmemory is full, which is no missing right."""
    server.do("CONFIG", "SET", "maxmemory", "1")
    try:
        found = await examined(server, *rights())
    finally:
        server.do("CONFIG", "SET", "maxmemory", "0")
    assert (found.full, found.missing) == (True, [])
    assert not (await examined(server, *rights())).full


async def test_a_command_that_the_server_does_not_have_is_no_right(tmp_path: Path) -> None:
    """What fails for another reason is a sentence with the words of the server."""
    one = RedisServer(tmp_path, *QUICK, "--rename-command", "HGET", "")
    try:
        one.start()
        found = await examined(one, *(rule for rule in rights() if rule != "+hget"))
    finally:
        one.close()
    assert found.missing == []
    [line] = found.others
    assert line.startswith("hget: ")


async def test_each_node_of_a_cluster_is_examined(tmp_path: Path) -> None:
    """Every primary is asked, with keys of a slot that it has."""
    cluster = Cluster(tmp_path)
    try:
        cluster.start()
        found = await examine(parse_address(cluster.url), 5, time.time)
        assert {node.host.port for node in found} == {server.port for server in cluster.servers}
        assert [(node.missing, node.others) for node in found] == [([], [])] * 3
    finally:
        cluster.close()


async def test_a_cluster_without_slots_is_an_error(tmp_path: Path) -> None:
    """A Cluster that nobody has given its slots is not taken for one without faults."""
    one = RedisServer(tmp_path, *QUICK, "--cluster-enabled", "yes")
    try:
        one.start()
        with pytest.raises(Misconfigured, match="has the slots of 256 of 256 partitions; give each slot to a node"):
            await examine(parse_address(one.url.replace("redis:", "redis+cluster:")), 5, time.time)
    finally:
        one.close()


async def test_a_server_that_is_not_there_is_unreachable() -> None:
    """Nothing at the address is an error, and no finding."""
    with pytest.raises(Unreachable):
        await examine(parse_address(f"redis://127.0.0.1:{free_port()}"), 2, time.time)
