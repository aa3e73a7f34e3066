// Talks to Forestay with gorilla/websocket.
package main

import (
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/gorilla/websocket"
)

func main() {
	header := http.Header{}
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	dialer := websocket.Dialer{Subprotocols: subprotocols, HandshakeTimeout: 10 * time.Second}
	socket, answer, err := dialer.Dial(address, header)
	if errors.Is(err, websocket.ErrBadHandshake) {
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
	go write(socket)
	if limit > 0 {
		socket.SetReadLimit(limit) // without it any size is taken
	}
	for {
		kind, data, err := socket.ReadMessage()
		var closed *websocket.CloseError
		if errors.As(err, &closed) {
			say("closed", closed.Code, closed.Text)
			return
		}
		if err != nil {
			say("closed", 1006, err)
			return
		}
		if kind == websocket.BinaryMessage {
			say("binary", hex.EncodeToString(data))
			continue
		}
		say("text", string(data))
		time.Sleep(pause(string(data)))
	}
}

func write(socket *websocket.Conn) {
	commands(func(word, rest string) {
		switch word {
		case "text":
			socket.WriteMessage(websocket.TextMessage, []byte(rest))
		case "binary":
			data, _ := hex.DecodeString(rest)
			socket.WriteMessage(websocket.BinaryMessage, data)
		case "close":
			bye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
			socket.WriteControl(websocket.CloseMessage, bye, time.Now().Add(5*time.Second))
		}
	})
}
