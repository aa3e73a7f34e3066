"""Talks to Forestay with picows."""

import asyncio
import sys

from picows import WSCloseCode, WSError, WSFrame, WSInvalidStatusError, WSListener, WSMsgType, WSTransport, ws_connect
from terminal import commands, say


class Listener(WSListener):
    def on_ws_connected(self, transport: WSTransport) -> None:
        say("open")  # messages may come before ws_connect() returns

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        match frame.msg_type:
            case WSMsgType.TEXT:
                say("text", frame.get_payload_as_utf8_text())
            case WSMsgType.BINARY:
                say("binary", frame.get_payload_as_bytes().hex())
            case WSMsgType.CLOSE:
                say("closed", int(frame.get_close_code()), frame.get_close_message() or "")
                transport.send_close(frame.get_close_code())
                transport.disconnect()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        say("closed", 1006)


async def main(url: str, token: str, limit: int, *subprotocols: str) -> None:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    if subprotocols:
        headers["Sec-WebSocket-Protocol"] = ", ".join(subprotocols)
    options = {"max_frame_size": limit} if limit else {}
    try:
        transport, _ = await ws_connect(Listener, url, extra_headers=headers, **options)
    except WSInvalidStatusError as refusal:
        answer = refusal.response
        say("refused", int(answer.status), answer.headers.get("Retry-After", "-"), refusal.raw_body.decode())
        return
    except (OSError, WSError) as error:
        say("failed", error)
        return
    writing = asyncio.create_task(write(transport))
    await transport.wait_disconnected()
    writing.cancel()


async def write(transport: WSTransport) -> None:
    lines = commands()
    while command := await asyncio.to_thread(next, lines, None):
        match command:
            case "text", message:
                transport.send(WSMsgType.TEXT, message.encode())
            case "binary", data:
                transport.send(WSMsgType.BINARY, bytes.fromhex(data))
            case "close", _:
                transport.send_close(WSCloseCode.OK)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3], int(sys.argv[3]), *sys.argv[4:]))
