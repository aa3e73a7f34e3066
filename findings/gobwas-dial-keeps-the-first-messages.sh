#!/usr/bin/env bash
# gobwas/ws: what a server sends at once after its 101 is in the reader that Dial returns, and not in the connection.
#
# Seen with gobwas/ws 1.5.0: a server writes the answer to the handshake and a text in one packet. `ws.Dial` returns a
# connection, and a bufio.Reader that is nil where nothing came early. Who reads from the connection waits for the text
# for ever: it is in the reader. So a client does not hear a server that greets it at once, now and then, as the bytes
# happen to arrive.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat >go.mod <<'MOD'
module finding

go 1.23

require github.com/gobwas/ws v1.5.0
MOD
cat >main.go <<'GO'
package main

import (
	"bufio"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/gobwas/ws"
)

func serve(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		request, _ := http.ReadRequest(bufio.NewReader(conn))
		proof := sha1.Sum([]byte(request.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
		head := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		head += "Sec-WebSocket-Accept: " + base64.StdEncoding.EncodeToString(proof[:]) + "\r\n\r\n"
		conn.Write(append([]byte(head), ws.MustCompileFrame(ws.NewTextFrame([]byte("hello")))...))
	}
}

func heard(url string, early bool) string {
	conn, reader, _, err := ws.Dial(context.Background(), url)
	if err != nil {
		return err.Error()
	}
	conn.SetReadDeadline(time.Now().Add(2 * time.Second))
	var from io.Reader = conn
	if early && reader != nil {
		from = reader
	}
	frame, err := ws.ReadFrame(from)
	if err != nil {
		return "nothing"
	}
	return string(frame.Payload)
}

func main() {
	listener, _ := net.Listen("tcp", "127.0.0.1:0")
	go serve(listener)
	url := "ws://" + listener.Addr().String() + "/"
	fmt.Println("from the connection:", heard(url, false))
	fmt.Println("from the reader:", heard(url, true))
}
GO
go build -mod=mod -o finding . 2>/dev/null
seen=$(./finding)
expected="from the connection: nothing
from the reader: hello"
printf 'gobwas/ws 1.5.0\n%s\n' "$seen"
if [[ $seen != "$expected" ]]; then
    printf 'expected:\n%s\n' "$expected" >&2
    exit 1
fi
