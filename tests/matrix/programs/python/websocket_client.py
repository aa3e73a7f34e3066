"""Talks to Forestay with `websocket-client`."""

import struct
import sys
import threading
import time

import websocket
from terminal import commands, pause, say


def main(url: str, token: str, limit: int, *subprotocols: str) -> None:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        socket = websocket.create_connection(
            url, header=headers, subprotocols=subprotocols, suppress_origin=True, timeout=None
        )
    except websocket.WebSocketBadStatusException as refusal:
        retry_after = refusal.resp_headers.get("retry-after", "-")
        say("refused", refusal.status_code, retry_after, (refusal.resp_body or b"").decode())
        return
    except (OSError, websocket.WebSocketException) as error:
        say("failed", error)
        return
    say("open")
    threading.Thread(target=write, args=(socket,), daemon=True).start()
    try:
        while True:
            kind, data = socket.recv_data()
            if kind == websocket.ABNF.OPCODE_TEXT:
                message = data.decode()
                say("text", message)
                time.sleep(pause(message))
            elif kind == websocket.ABNF.OPCODE_BINARY:
                say("binary", data.hex())
            else:  # a close: two bytes of code, then the reason
                [code] = struct.unpack("!H", data[:2])
                say("closed", code, data[2:].decode())
                return
    except (OSError, websocket.WebSocketException) as error:
        say("closed", 1006, error)


def write(socket: websocket.WebSocket) -> None:
    for word, rest in commands():
        match word:
            case "text":
                socket.send_text(rest)
            case "binary":
                socket.send_binary(bytes.fromhex(rest))
            case "close":
                socket.send_close()


if __name__ == "__main__":
    main(*sys.argv[1:3], int(sys.argv[3]), *sys.argv[4:])
