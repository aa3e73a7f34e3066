#!/usr/bin/env bash
# undici's WebSocket, which is also Node's own, sends a handshake twice if the answer is 401.
#
# Seen with undici 7.30.0 on node 24.18.0: one `new WebSocket(url)` makes two requests to a server that answers 401, and
# one to a server that answers 403. The program asked once, and hears of one failure. A gateway that counts refused
# handshakes, or limits them by address, counts such a client double.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund undici@7.30.0 node@24.18.0 >/dev/null

cat >handshakes.cjs <<'JS'
const http = require("node:http");
const { WebSocket } = require("undici");

async function handshakes(status) {
  let count = 0;
  const server = http.createServer();
  server.on("upgrade", (request, socket) => {
    count += 1;
    socket.end(`HTTP/1.1 ${status} ${http.STATUS_CODES[status]}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`);
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  const socket = new WebSocket(`ws://127.0.0.1:${server.address().port}/`);
  const code = await new Promise((closed) => {
    socket.onerror = () => {};
    socket.onclose = (event) => closed(event.code);
  });
  server.close();
  return `${status}: ${count} handshakes, close ${code}`;
}

(async () => {
  for (const status of [401, 403]) console.log(await handshakes(status));
  process.exit(0);
})();
JS

seen=$(node_modules/node/bin/node handshakes.cjs)
expected="401: 2 handshakes, close 1006
403: 1 handshakes, close 1006"
printf 'undici 7.30.0, node 24.18.0\n%s\n' "$seen"
if [[ $seen != "$expected" ]]; then
    printf 'expected:\n%s\n' "$expected" >&2
    exit 1
fi
