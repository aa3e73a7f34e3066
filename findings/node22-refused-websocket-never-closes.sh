#!/usr/bin/env bash
# The built-in WebSocket of Node 22 reports a refused handshake by `error` and never by `close`.
#
# Seen with the npm package node 22.23.3 (undici inside): after a 403 the socket fires `error`, its readyState stays 0
# (CONNECTING), and no `close` follows. The same program on node 24.18.0 fires `error` and `close` with code 1006, and
# its readyState is 3. A client that schedules its next attempt in `close` stops for ever on Node 22.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat >refused.cjs <<'JS'
const http = require("node:http");

const server = http.createServer();
server.on("upgrade", (request, socket) => {
  socket.end("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
});
server.listen(0, "127.0.0.1", () => {
  const events = [];
  const socket = new WebSocket(`ws://127.0.0.1:${server.address().port}/`);
  socket.onerror = () => events.push("error");
  socket.onclose = (event) => events.push(`close ${event.code}`);
  // Long after the answer, which comes within milliseconds.
  setTimeout(() => {
    console.log(`node ${process.versions.node}: ${events.join(", ")}; readyState ${socket.readyState}`);
    process.exit(0);
  }, 2000);
});
JS

run() {
    npm install --silent --no-audit --no-fund --prefix "node-$1" "node@$1" >/dev/null
    "node-$1/node_modules/node/bin/node" refused.cjs
}

seen=$(run 22.23.3; run 24.18.0)
expected="node 22.23.3: error; readyState 0
node 24.18.0: error, close 1006; readyState 3"
printf '%s\n' "$seen"
if [[ $seen != "$expected" ]]; then
    printf 'expected:\n%s\n' "$expected" >&2
    exit 1
fi
