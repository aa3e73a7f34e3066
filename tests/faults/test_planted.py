"""What strangers write into Redis: clients of strict libraries stay connected, pods live, and keys keep their form."""

import asyncio
import json
import pickle
import random
import re
from pathlib import Path

import msgspec
import pytest

from forestay.bus.redis.keys import KeySpace
from forestay.protocol.envelope import encode
from forestay.protocol.message import Kind, Message
from forestay.protocol.names import RoomName, pods_room
from tests.faults.actors import CROWD, KEPT, LIVE, PATIENCE, Actors, actors
from tests.support.gateway import Client, call
from tests.support.local_redis import RedisServer

NOW = "2026-11-22T12:00:00.123Z"
# Prefix, partition, kind, and the name of a room, of a pod, or one of ours. A user is in base64url.
KEY = re.compile(
    rb"t[0-9a-f]{12}:\{\d{1,3}\}:"
    rb"([mskcnu]:(@[A-Za-z0-9_-]+|[A-Za-z0-9][A-Za-z0-9_.:-]{0,160})|x:@[A-Za-z0-9_-]+|[ry]:p[A-Za-z0-9_-]+"
    rb"|l:(pods|load)|v:(order|end)|g:first)"
)


def planted(room: RoomName) -> list[bytes]:
    """Data for the channel of `room` that no pod would send."""
    payloads = [
        b"",
        b"no json",
        b'"\xff\xfe"',
        b'"\xed\xa0\x80"',
        b'"\\ud800"',
        b"[" * 600 + b"]" * 600,
        b"x" * 10_000_000,
    ]
    payloads += [b'"' + b"x" * 65_536 + b'"', b'{"a":1} {"b":2}', b'"' + b"\xc3" + b'"']
    found = [b"L" + encode(Message(room, payload, NOW, "ada")) for payload in payloads]
    found += [b"Hepoch:7:" + encode(Message(room, payload, NOW)) for payload in payloads]
    found += [b"L" + encode(Message(room, b"1", NOW, kind=kind)) for kind in Kind if kind is not Kind.BROADCAST]
    found += [b"L" + encode(Message(room, b"\0\0", NOW, binary=True)), b"L" + encode(Message(pods_room(), b"1", NOW))]
    found += [
        b"",
        b"L",
        b"\x80\x04\x95",
        b"L\x01" + b"\x91" * 5000,
        pickle.dumps({"a": 1}),
        json.dumps({"a": 1}).encode(),
    ]
    rng = random.Random(3)
    found += [rng.randbytes(rng.randrange(80)) for _ in range(60)]
    sound = b"L" + encode(Message(room, b'{"a":1}', NOW, "ada"))
    for _ in range(60):
        broken = bytearray(sound)
        broken[rng.randrange(len(broken))] ^= 1 << rng.randrange(8)
        if bytes(broken) != sound:
            found.append(bytes(broken[: rng.randrange(1, len(broken))]))
    return found


async def read_strictly(client: Client) -> bytes:
    """The next message, as a strict library reads it."""
    raw = await client.raw()
    assert len(raw) <= 65_536
    heard = json.loads(raw.decode("utf-8", "strict"))
    assert heard["type"] in {"broadcast", "resync", "pong", "user-joined", "user-left"}
    return raw


async def strict(client: Client) -> None:
    """Read everything that waits, until the answer to a ping."""
    await client.say({"type": "ping", "id": "strict"})
    while b'"strict"' not in await read_strictly(client):
        pass


@pytest.mark.parametrize("room", [LIVE, KEPT, CROWD])
async def test_planted_messages_reach_no_client(room: str, own_redis: RedisServer, tmp_path: Path) -> None:
    """Whatever is published on a room's channel, its members get only what any client can read, and stay."""
    async with actors(own_redis, tmp_path, pods=1) as group:
        pod, name = group.pods[0], RoomName(room)
        client = await pod.join("ada", room)
        keys = KeySpace(group.prefix)
        for data in planted(name):
            own_redis.do("PUBLISH", keys.room(name).channel, data)
        for at, data in enumerate(planted(name), 1):
            own_redis.do("XADD", keys.room(name).stream, f"{at}-0", "m", data[1:])
        await strict(client)
        status, _ = await call(pod, "POST", f"/v1/rooms/{room}/messages", b'{"payload": "sound"}')
        assert status == 200
        async with asyncio.timeout(PATIENCE):
            while b'"sound"' not in await read_strictly(client):
                pass
        await strict(client)


async def test_planted_control_messages_end_nobody(own_redis: RedisServer, tmp_path: Path) -> None:
    """Garbage on the channels of the pods and in their keys leaves the pods alive and their clients connected."""
    async with actors(own_redis, tmp_path, pods=2, presence_lease=3) as group:
        client = await group.pods[0].join("ada", CROWD)
        plant_in_the_registry(own_redis, group)
        keys = KeySpace(group.prefix)
        for name in ("", group.pods[0].running._pod.pods.me):
            for data in planted(pods_room(name)):
                own_redis.do("PUBLISH", keys.room(pods_room(name)).channel, data)
        await asyncio.sleep(2.5)
        await strict(client)
        for pod in group.pods:
            assert (await pod.probe("/livez"))[0] == 200
            assert "failed" not in json.dumps((await pod.probe("/readyz"))[1])
        status, page = await call(group.pods[1], "GET", f"/v1/rooms/{CROWD}/presence")
        assert (status, page["members"]) == (
            200,
            [{"user": "ada", "connections": 1}, {"user": "eve", "connections": 1}],
        )


def plant_in_the_registry(redis: RedisServer, group: Actors) -> None:
    """A user whose `info` is no JSON, a pod whose load is no number, and revocations that are none."""
    keys = KeySpace(group.prefix)
    members, users = keys.presence(RoomName(CROWD))
    redis.do("HSET", members, "eve", msgspec.msgpack.encode({"p-planted": (1, "no json \ud7ff")}))
    redis.do("ZADD", users, 0, "eve")
    redis.do("HSET", keys.load(), "p-planted", "many")
    redis.do("ZADD", keys.leases(), 9_000_000_000_000_000, "p-planted")
    for number, text in enumerate((b"no json", b"\xff", b"[" * 5000, b'{"jti":5}')):
        redis.do("ZADD", keys.revocations()[0], 9_000_000_000_000_000 + number, text)


async def test_no_name_leaves_the_form_of_keys(own_redis: RedisServer, tmp_path: Path) -> None:
    """After a run with names of all kinds, every key in Redis has its form, and refused names left none."""
    names = [
        "a}:m:x",
        "{1}",
        "a b",
        "a\r\nb",
        "../x",
        "@ada",
        "!pods",
        "*",
        "a.*",
        "\x00",
        "é",
        "",
        "x" * 129,
        "ａdmin",
    ]
    sound = ["log.x", "log.a:b", "log.:", "crowd.m:x", "log." + "y" * 100]
    users = ["ada", "a}:m:log.x", "{1}", "*", "eve:x", "ü", "@me", "!p"]
    async with actors(own_redis, tmp_path, pods=1, max_connections_per_user=3) as group:
        pod = group.pods[0]
        for user in users:
            client = await pod.connect(user)
            for name in (*names, *sound, "@me"):
                for kind in ("join", "broadcast", "history", "presence", "leave"):
                    await client.say({"type": kind, "room": name, "payload": 1, "key": f"{user} {name}"[:60] or "k"})
            await strict_pong(client)
        found = own_redis.do("KEYS", "*")
        assert isinstance(found, list)
        assert len(found) > 20
        assert [key for key in found if not KEY.fullmatch(key)] == []


async def strict_pong(client: Client) -> None:
    await client.say({"type": "ping", "id": "last"})
    async with asyncio.timeout(30):
        while json.loads(await client.raw()).get("id") != "last":
            pass
