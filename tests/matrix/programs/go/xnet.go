// Talks to Forestay with golang.org/x/net/websocket.
package main

import (
	"encoding/hex"
	"errors"
	"net/url"
	"time"

	"golang.org/x/net/websocket"
)

func main() {
	config, err := websocket.NewConfig(address, address)
	if err != nil {
		say("failed", err)
		return
	}
	// It always sends an Origin. That of the gateway itself is never foreign.
	config.Origin = &url.URL{Scheme: "http", Host: config.Location.Host}
	config.Protocol = subprotocols
	if token != "" {
		config.Header.Set("Authorization", "Bearer "+token)
	}
	socket, err := websocket.DialConfig(config)
	if err != nil {
		say("failed", err) // "bad status", without the status
		return
	}
	say("open")
	go write(socket)
	if limit > 0 {
		socket.MaxPayloadBytes = int(limit)
	}
	for {
		var message frame
		err := either.Receive(socket, &message)
		if errors.Is(err, websocket.ErrFrameTooLarge) {
			say("closed", 1009, err)
			return
		}
		if err != nil {
			say("closed", 1006, err) // io.EOF, whatever the code was
			return
		}
		if message.binary {
			say("binary", hex.EncodeToString(message.data))
			continue
		}
		say("text", string(message.data))
		time.Sleep(pause(string(message.data)))
	}
}

// frame is a message of either kind: the codecs of the package take one kind only.
type frame struct {
	data   []byte
	binary bool
}

var either = websocket.Codec{
	Marshal: func(value any) ([]byte, byte, error) {
		message := value.(frame)
		if message.binary {
			return message.data, websocket.BinaryFrame, nil
		}
		return message.data, websocket.TextFrame, nil
	},
	Unmarshal: func(data []byte, kind byte, value any) error {
		*value.(*frame) = frame{data, kind == websocket.BinaryFrame}
		return nil
	},
}

func write(socket *websocket.Conn) {
	commands(func(word, rest string) {
		switch word {
		case "text":
			either.Send(socket, frame{[]byte(rest), false})
		case "binary":
			data, _ := hex.DecodeString(rest)
			either.Send(socket, frame{data, true})
		case "close":
			socket.Close()
		}
	})
}
