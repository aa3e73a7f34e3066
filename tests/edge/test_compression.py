"""A gateway that compresses, and clients that offer it, do not offer it, or misuse it."""

import json
import zlib
from typing import Any

import aiohttp
import pytest
from websockets.asyncio.client import connect

from tests.support.gateway import Client, Gateway, frame, gateway, token, upgrade

OFFER = "permessage-deflate; client_max_window_bits"
ANSWER = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
TEXT = "the price of everything " * 100


def deflated(message: bytes) -> bytes:
    """The payload of a compressed frame."""
    stream = zlib.compressobj(wbits=-15)
    return (stream.compress(message) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4]


async def offering(pod: Gateway, offer: str = OFFER) -> Client:
    """A client that has offered compression and has read its welcome."""
    client = await Client.request(pod.port, upgrade(token(), Sec_WebSocket_Extensions=offer))
    assert client.status == 101
    await client.hear("welcome")
    return client


async def test_stock_clients_speak_compressed_beside_others() -> None:
    """Two libraries with their own offers, and a client without one, get each other's messages."""
    async with gateway(compression=True) as pod:
        plain = await pod.join("plain", "a")
        headers = {"Authorization": f"Bearer {token('other')}"}
        async with (
            connect(pod.url, additional_headers=headers, compression="deflate") as one,
            aiohttp.ClientSession(headers=headers) as session,
            session.ws_connect(pod.url, compress=15) as two,
        ):
            assert one.response is not None
            assert one.response.headers["Sec-WebSocket-Extensions"] == ANSWER
            assert two.compress == 15

            async def hear() -> list[dict[str, Any]]:
                return [json.loads(await one.recv()), await two.receive_json(), await plain.hear()]

            await one.recv()
            await two.receive_json()
            await one.send(json.dumps({"type": "join", "room": "a"}))
            await one.recv()
            await two.send_json({"type": "join", "room": "a"})
            await two.receive_json()
            for speaker in (one.send, two.send_str):
                await speaker(json.dumps({"type": "broadcast", "room": "a", "payload": TEXT}))
                heard = await hear()
                assert [message["payload"] for message in heard] == [TEXT] * 3
        counted = (await _metrics(pod))["forestay_compression_bytes_total"]
        assert counted['direction="sent",form="plain"'] > 10 * counted['direction="sent",form="compressed"'] > 0
        assert counted['direction="received",form="plain"'] > counted['direction="received",form="compressed"'] > 0


async def _metrics(pod: Gateway) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    async with aiohttp.request("GET", f"{pod.internal}/metrics") as response:
        for line in (await response.text()).splitlines():
            name, _, rest = line.partition("{")
            labels, _, value = rest.partition("} ")
            if value:
                found.setdefault(name, {})[labels] = float(value.split()[0])
    return found


async def test_a_bomb_ends_its_connection_and_nothing_else() -> None:
    """A few kilobytes that would become megabytes: 1009, and other clients are served meanwhile."""
    async with gateway(compression=True) as pod:
        other = await pod.join("other", "a")
        bombs = [await offering(pod) for _ in range(20)]
        bomb = frame(0x41, deflated(b"[" + b" " * 4_000_000))
        for client in bombs:
            await client.send(bomb)
        assert {(await client.ended()).code for client in bombs} == {1009}
        assert (await other.ask({"type": "broadcast", "room": "a", "payload": 1}))["type"] in ("ack", "broadcast")


async def test_the_rate_counts_inflated_bytes() -> None:
    """A client cannot send more by compressing it."""
    async with gateway(compression=True, message_bytes_rate=1000) as pod:
        client = await offering(pod)
        large = json.dumps({"type": "broadcast", "room": "a", "payload": " " * 60_000}).encode()
        await client.send(frame(0x41, deflated(large)) * 6)
        await client.say({"type": "ping", "id": "late"})
        codes = []
        while (heard := await client.hear()).get("id") != "late":
            codes.append(heard["payload"].get("code"))
        assert "rate_limited" in [*codes, heard["payload"]["code"]]


@pytest.mark.parametrize(("payload", "code"), [(b"\xff" * 9, 1007), (b"\x00\x00\x00\xff\xff" * 99 + b"\x00", 1008)])
async def test_what_cannot_be_inflated_ends_the_connection(payload: bytes, code: int) -> None:
    """With the code and a reason."""
    async with gateway(compression=True) as pod:
        client = await offering(pod)
        await client.send(frame(0x41, payload))
        ended = await client.ended()
        assert ended.code == code
        assert "compressed" in ended.reason


async def test_an_offer_is_only_taken_where_compression_is_on() -> None:
    """A client that offers nothing, or what cannot be met, is served without; a malformed offer gets 400."""
    async with gateway(compression=True) as pod:
        for offer, answer in ((None, None), ("permessage-deflate; mux", None), (OFFER, ANSWER)):
            client = await Client.request(pod.port, upgrade(token(), Sec_WebSocket_Extensions=offer))
            assert client.status == 101
            assert client.headers.get("sec-websocket-extensions") == answer
        client = await Client.request(pod.port, upgrade(token(), Sec_WebSocket_Extensions="permessage-deflate;"))
        assert client.status == 400
        assert b"Sec-WebSocket-Extensions" in client.body
        unnegotiated = await Client.open(pod.port, token())
        await unnegotiated.send(frame(0x41, deflated(b"{}")))
        await unnegotiated.hear("welcome")
        assert (await unnegotiated.ended()).code == 1002
        several = [("Sec-WebSocket-Extensions", "x-one"), ("Sec-WebSocket-Extensions", OFFER)]
        request = upgrade(token()).removesuffix(b"\r\n")
        request += b"".join(f"{name}: {value}\r\n".encode() for name, value in several) + b"\r\n"
        assert (await Client.request(pod.port, request)).headers["sec-websocket-extensions"] == ANSWER
