// Talks to Forestay with coder/websocket.
package main

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/coder/websocket"
)

func main() {
	ctx := context.Background()
	header := http.Header{}
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	options := &websocket.DialOptions{HTTPHeader: header, Subprotocols: subprotocols}
	socket, answer, err := websocket.Dial(ctx, address, options)
	if err != nil && answer != nil {
		body, _ := io.ReadAll(answer.Body) // its first 1,024 bytes
		retryAfter := answer.Header.Get("Retry-After")
		say("refused", answer.StatusCode, retryAfter, string(body))
		return
	}
	if err != nil {
		say("failed", err)
		return
	}
	say("open")
	go write(ctx, socket)
	if limit > 0 {
		socket.SetReadLimit(limit) // as shipped it is 32,768 bytes
	}
	for {
		kind, data, err := socket.Read(ctx)
		var closed websocket.CloseError
		if errors.As(err, &closed) {
			say("closed", int(closed.Code), closed.Reason)
			return
		}
		if errors.Is(err, websocket.ErrMessageTooBig) {
			say("closed", 1009, err)
			return
		}
		if err != nil {
			say("closed", 1006, err)
			return
		}
		if kind == websocket.MessageBinary {
			say("binary", hex.EncodeToString(data))
			continue
		}
		say("text", string(data))
		time.Sleep(pause(string(data)))
	}
}

func write(ctx context.Context, socket *websocket.Conn) {
	commands(func(word, rest string) {
		switch word {
		case "text":
			socket.Write(ctx, websocket.MessageText, []byte(rest))
		case "binary":
			data, _ := hex.DecodeString(rest)
			socket.Write(ctx, websocket.MessageBinary, data)
		case "close":
			socket.Close(websocket.StatusNormalClosure, "")
		}
	})
}
