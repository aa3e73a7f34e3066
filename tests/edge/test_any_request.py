"""No request makes a pod fail: each gets an answer below 500, and repeats nothing of a request that is malformed."""

import asyncio

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.gateway import KEY, Gateway, gateway, token, upgrade

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PRI", "get", "G\0T"]
PATHS = ["/", "/ws", "//ws", "/ws/", "/%77s", "/ws?token", "/ws#x", "*", "http://a/ws", "/\xff", "/%00", "/..", "ws:80"]
INTERNAL = ["/livez", "/metrics", "/v1", "/v1/rooms/a/messages", "/v1/rooms/%7B/messages", "/v1/users/%7Bx%7D/messages"]
HEADERS = [
    *("Host: a", "Host: ", "Host: a\r\nHost: b", "Host: a:b", "Host: [::1", "Host: \xff"),
    *("Connection: close", "Connection: Upgrade", "Upgrade: websocket", "Upgrade: \xff", "Expect: 100-continue"),
    *("Content-Length: 0", "Content-Length: -1", "Content-Length: 1", "Content-Length: 99999999999999999999"),
    *("Transfer-Encoding: chunked", "Transfer-Encoding: gzip", "Content-Type: a/b; c", "Content-Encoding: br"),
    *("Origin: ", "Origin: null", "Origin: http://[", "Origin: \xff\xfe", "Accept: \xff", "Accept-Encoding: \xff"),
    *("Authorization: Bearer", "Authorization: Bearer \xff", "Authorization: \xff", "Cookie: \xff=\xff"),
    *("Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: \xff", "Sec-WebSocket-Protocol: ,,\xff, forestay.v1"),
    *("X-Forwarded-For: \xff", "Forwarded: for=\xff", "traceparent: \xff", "Sec-WebSocket-Extensions: constructor"),
    *("A", " A: b", "A : b", ": b", "A:\0", "A: b\r\n c"),
]
BODIES = [b"", b"\r\n", b"x", b"0\r\n\r\n", b"1\r\nx\r\n0\r\n\r\n", b"\xff" * 30, b"[" * 3000]

REQUESTS = st.builds(
    lambda method, path, version, headers, body: (
        "\r\n".join([f"{method} {path} HTTP/{version}", *headers, "", ""]).encode("latin-1") + body
    ),
    st.sampled_from(METHODS),
    st.sampled_from(PATHS + INTERNAL),
    st.sampled_from(["1.1", "1.1", "1.1", "1.0", "0.9", "2.0", "9"]),
    st.lists(st.sampled_from([*HEADERS, *(f"{name}: {value}" for name, value in KEY.items())]), max_size=6),
    st.sampled_from(BODIES),
)


async def statuses(port: int, data: bytes) -> bytes:
    """All that the port answers until it closes, or until it waits for more."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = b""
    try:
        writer.write(data)
        if writer.can_write_eof():
            writer.write_eof()
        while more := await asyncio.wait_for(reader.read(65536), 3):
            answer += more
    except (ConnectionError, TimeoutError):
        pass
    finally:
        writer.transport.abort()
    return answer


def test_any_request_is_answered_below_500() -> None:
    """Both ports answer, or close, and serve the next one."""

    async def serve(found: list[tuple[bytes, bytes]]) -> None:
        async with gateway(trusted_proxies="127.0.0.1", demo=True) as running:
            await all_of(running, found)

    async def all_of(running: Gateway, found: list[tuple[bytes, bytes]]) -> None:
        for data in samples:
            for port in (running.port, running.internal_port):
                answer = await statuses(port, data)
                if answer.startswith((b"HTTP/1.1 5", b"HTTP/1.0 5")) and b"503 " not in answer[:20]:
                    found.append((data, answer[:200]))
        client = await running.connect()
        await client.say({"type": "ping"})
        await client.hear("pong")

    samples: list[bytes] = [upgrade(token(), "/ws") + b"\xff" * 9]

    @settings(max_examples=150, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(REQUESTS)
    def collect(data: bytes) -> None:
        samples.append(data)

    collect()
    found: list[tuple[bytes, bytes]] = []
    asyncio.run(serve(found))
    assert found == []
