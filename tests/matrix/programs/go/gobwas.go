// Talks to Forestay with gobwas/ws.
package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

func main() {
	header := http.Header{}
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	dialer := ws.Dialer{
		Header:    ws.HandshakeHeaderHTTP(header),
		Protocols: subprotocols,
		OnStatusError: func(status int, reason []byte, response io.Reader) {
			answer, err := http.ReadResponse(bufio.NewReader(response), nil)
			if err != nil {
				return
			}
			body, _ := io.ReadAll(answer.Body)
			retryAfter := answer.Header.Get("Retry-After")
			say("refused", answer.StatusCode, retryAfter, string(body))
			os.Exit(0)
		},
	}
	conn, early, _, err := dialer.Dial(context.Background(), address)
	if err != nil {
		say("failed", err)
		return
	}
	var reader io.Reader = conn
	if early != nil {
		reader = early // has what came in one packet with the answer: often the welcome
	}
	socket := struct {
		io.Reader
		io.Writer
	}{reader, conn}
	say("open")
	go write(conn)
	for {
		data, kind, err := wsutil.ReadServerData(socket)
		var closed wsutil.ClosedError
		if errors.As(err, &closed) {
			say("closed", int(closed.Code), closed.Reason)
			return
		}
		if err != nil {
			say("closed", 1006, err)
			return
		}
		if kind == ws.OpBinary {
			say("binary", hex.EncodeToString(data))
			continue
		}
		say("text", string(data))
		time.Sleep(pause(string(data)))
	}
}

func write(conn net.Conn) {
	commands(func(word, rest string) {
		switch word {
		case "text":
			wsutil.WriteClientText(conn, []byte(rest))
		case "binary":
			data, _ := hex.DecodeString(rest)
			wsutil.WriteClientBinary(conn, data)
		case "close":
			wsutil.WriteClientMessage(conn, ws.OpClose, ws.NewCloseFrameBody(ws.StatusNormalClosure, ""))
		}
	})
}
