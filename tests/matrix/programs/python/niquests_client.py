"""Talks to Forestay with niquests."""

import sys
import threading

import niquests
from terminal import commands, pause, say


def main(url: str, token: str, limit: int, *subprotocols: str) -> None:  # it has no limit
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    if subprotocols:
        headers["Sec-WebSocket-Protocol"] = ", ".join(subprotocols)
    try:
        answer = niquests.get(url, headers=headers)
    except niquests.RequestException as error:
        say("failed", error)
        return
    if answer.status_code != 101:
        say("refused", answer.status_code, answer.headers.get("Retry-After", "-"), answer.text)
        return
    say("open")
    threading.Thread(target=write, args=(answer,), daemon=True).start()
    while True:
        try:
            message = answer.extension.next_payload()
        except niquests.ReadTimeout:
            continue
        match message:
            case str():
                say("text", message)
                threading.Event().wait(pause(message))
            case bytes():
                say("binary", message.hex())
            case None:  # a close: its code and reason are not kept
                say("closed", 1005)
                return


def write(answer: niquests.Response) -> None:
    for command in commands():
        match command:
            case ("text", message):
                answer.extension.send_payload(message)
            case ("binary", data):
                answer.extension.send_payload(bytes.fromhex(data))
            case ("close", _):
                answer.extension.close()


if __name__ == "__main__":
    main(*sys.argv[1:3], int(sys.argv[3]), *sys.argv[4:])
