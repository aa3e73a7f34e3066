// Talks to Forestay with lxzan/gws.
package main

import (
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/lxzan/gws"
)

type events struct {
	gws.BuiltinEventHandler // answers pings
	ended                   chan struct{}
}

func (it *events) OnMessage(socket *gws.Conn, message *gws.Message) {
	defer message.Close()
	if message.Opcode == gws.OpcodeBinary {
		say("binary", hex.EncodeToString(message.Bytes()))
		return
	}
	say("text", string(message.Bytes()))
	time.Sleep(pause(string(message.Bytes())))
}

func (it *events) OnClose(socket *gws.Conn, err error) {
	var closed *gws.CloseError
	if errors.As(err, &closed) {
		say("closed", closed.Code, string(closed.Reason))
	} else {
		say("closed", 1006, err)
	}
	close(it.ended)
}

func main() {
	header := http.Header{"Sec-Websocket-Protocol": {strings.Join(subprotocols, ", ")}}
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	options := &gws.ClientOption{Addr: address, RequestHeader: header}
	if limit > 0 {
		options.ReadMaxPayloadSize = int(limit)
	}
	it := &events{ended: make(chan struct{})}
	socket, answer, err := gws.NewClient(it, options)
	if err != nil && answer != nil {
		body, _ := io.ReadAll(answer.Body)
		say("refused", answer.StatusCode, answer.Header.Get("Retry-After"), string(body))
		return
	}
	if err != nil {
		say("failed", err)
		return
	}
	say("open")
	go write(socket)
	socket.ReadLoop()
	<-it.ended
}

func write(socket *gws.Conn) {
	commands(func(word, rest string) {
		switch word {
		case "text":
			socket.WriteString(rest)
		case "binary":
			data, _ := hex.DecodeString(rest)
			socket.WriteMessage(gws.OpcodeBinary, data)
		case "close":
			socket.WriteClose(1000, nil)
		}
	})
}
