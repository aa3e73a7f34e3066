#!/usr/bin/env bash
# lxzan/gws answers a ping that has a payload with a pong that has none, where BuiltinEventHandler answers it.
#
# Seen with lxzan/gws 1.8.9: a server sends pings with the payload `hello`. A client whose handler is made of
# `gws.BuiltinEventHandler` answers each with an empty pong. RFC 6455 (5.5.3) wants the data of the ping in the pong, and
# a handler that calls `WritePong(payload)` itself sends it. So a server that tells its pings apart by their payload
# holds such a client for dead, or learns no round-trip time from it: any pong has to count as a sign of life.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
if ! command -v go >/dev/null; then
    echo "no go on PATH" >&2
    exit 2
fi

cat >go.mod <<'MOD'
module finding

go 1.23

require github.com/lxzan/gws v1.8.9
MOD
cat >main.go <<'GO'
package main

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/lxzan/gws"
)

type builtin struct{ gws.BuiltinEventHandler }

type own struct{ gws.BuiltinEventHandler }

func (own) OnPing(socket *gws.Conn, payload []byte) { socket.WritePong(payload) }

// answer pings the client of this handler once, and returns what its pong has.
func answer(handler gws.Event) string {
	listener, _ := net.Listen("tcp", "127.0.0.1:0")
	go func() {
		socket, _, err := gws.NewClient(handler, &gws.ClientOption{Addr: "ws://" + listener.Addr().String() + "/"})
		if err == nil {
			socket.ReadLoop()
		}
	}()
	conn, _ := listener.Accept()
	defer conn.Close()
	reader := bufio.NewReader(conn)
	request, _ := http.ReadRequest(reader)
	proof := sha1.Sum([]byte(request.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	head := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
	head += "Sec-WebSocket-Accept: " + base64.StdEncoding.EncodeToString(proof[:]) + "\r\n\r\n"
	conn.Write(append([]byte(head), "\x89\x05hello"...))
	frame := make([]byte, 6)
	io.ReadFull(reader, frame)
	payload := make([]byte, frame[1]&0x7f)
	io.ReadFull(reader, payload)
	for at := range payload {
		payload[at] ^= frame[2+at%4]
	}
	return fmt.Sprintf("%q", payload)
}

func main() {
	fmt.Println("BuiltinEventHandler answers", answer(builtin{}))
	fmt.Println("an OnPing of its own answers", answer(own{}))
}
GO
go build -mod=mod -o finding . 2>/dev/null
seen=$(./finding)
expected='BuiltinEventHandler answers ""
an OnPing of its own answers "hello"'
printf 'lxzan/gws 1.8.9\n%s\n' "$seen"
if [[ $seen != "$expected" ]]; then
    printf 'expected:\n%s\n' "$expected" >&2
    exit 1
fi
