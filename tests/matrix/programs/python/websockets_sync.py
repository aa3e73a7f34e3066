"""Talks to Forestay with `websockets`, in threads."""

import sys
import threading
import time

from terminal import commands, pause, say
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.sync.client import ClientConnection, connect


def main(url: str, token: str, limit: int, *subprotocols: str) -> None:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    options = {"max_size": limit} if limit else {}
    try:
        socket = connect(url, additional_headers=headers, subprotocols=subprotocols, **options)
    except InvalidStatus as refusal:
        answer = refusal.response
        say("refused", answer.status_code, answer.headers.get("Retry-After", "-"), answer.body.decode())
        return
    except (OSError, InvalidHandshake) as error:
        say("failed", error)
        return
    say("open")
    threading.Thread(target=write, args=(socket,), daemon=True).start()
    try:
        while True:
            message = socket.recv()
            if isinstance(message, bytes):
                say("binary", message.hex())
            else:
                say("text", message)
                time.sleep(pause(message))
    except ConnectionClosed as closed:
        end = closed.rcvd or closed.sent  # neither: the connection broke
        say("closed", end.code if end else 1006, end.reason if end else "")


def write(socket: ClientConnection) -> None:
    for word, rest in commands():
        match word:
            case "text":
                socket.send(rest)
            case "binary":
                socket.send(bytes.fromhex(rest))
            case "close":
                socket.close()


if __name__ == "__main__":
    main(*sys.argv[1:3], int(sys.argv[3]), *sys.argv[4:])
