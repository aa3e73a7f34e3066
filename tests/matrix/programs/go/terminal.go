package main

// Commands come as lines on standard input, and what happens goes out as lines on standard output.

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

var address, token = os.Args[1], os.Args[2]
var limit, _ = strconv.ParseInt(os.Args[3], 10, 64)
var subprotocols = os.Args[4:]

func say(words ...any) {
	fmt.Println(words...)
}

// pause returns the time for which an application does something else after this message.
func pause(message string) time.Duration {
	if strings.Contains(message, `"pause"`) {
		return 3 * time.Second
	}
	return 0
}

// commands calls back with `text MESSAGE`, `binary HEX` and `close`.
func commands(each func(word, rest string)) {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		word, rest, _ := strings.Cut(lines.Text(), " ")
		each(word, rest)
	}
}
