#!/usr/bin/env bash
# A balancer that counts connections sends nearly all clients to the server that refuses them.
#
# Seen with nginx 1.22.1 (`least_conn`) and HAProxy 2.6.12 (`leastconn`) of Debian 12. Two servers take WebSockets, and
# one of them answers 503 at once, as one that is full or goes. A refusal leaves no connection, so that server always
# has the fewest: of eight clients that stay connected one gets in, where taking turns lets in four. With a retry of the
# 503 on the other server (`proxy_next_upstream … http_503` and `max_fails=0`, `retry-on 503`) all eight get in.
set -euo pipefail
folder=$(mktemp -d)
proxy=
servers=
end() {
    [[ -z $proxy ]] || kill "$proxy" 2>/dev/null || true
    [[ -z $servers ]] || kill "$servers" 2>/dev/null || true
    wait 2>/dev/null || true
    rm -rf "$folder"
}
trap end EXIT
cd "$folder"

mkdir -p packages/archives/partial
apt-get install -qq --yes --reinstall --download-only --no-install-recommends -o "Dir::Cache=$folder/packages" \
    nginx haproxy >/dev/null 2>&1
for package in packages/archives/*.deb; do dpkg -x "$package" root; done
libraries=$(printf '%s:' root/usr/lib/*-linux-gnu*)
export LD_LIBRARY_PATH=$libraries

cat >servers.py <<'PY'
import asyncio
import sys


async def main() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        # Nobody looks at the accepted key.
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n")
        writer.write(b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
        await reader.read()
        writer.close()

    made = [await asyncio.start_server(each, "127.0.0.1", 0) for each in (refuse, take)]
    with open(sys.argv[1], "w") as file:
        print(*(one.sockets[0].getsockname()[1] for one in made), file=file)
    await asyncio.Event().wait()


asyncio.run(main())
PY
cat >clients.py <<'PY'
import asyncio
import sys

REQUEST = (
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


async def main() -> None:
    port, kept, taken = int(sys.argv[1]), [], 0
    for _ in range(100):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            break
        except OSError:
            await asyncio.sleep(0.1)
    for _ in range(8):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(REQUEST)
        taken += b" 101 " in await reader.readline()
        kept.append((reader, writer))
        # The balancer hears of the end of a refused one.
        await asyncio.sleep(0.1)
    print(taken)


asyncio.run(main())
PY
python3 servers.py ports &
servers=$!
until [[ -s ports ]]; do sleep 0.1; done
read -r refusing taking <ports

free() {
    python3 -c 'import socket; one = socket.socket(); one.bind(("127.0.0.1", 0)); print(one.getsockname()[1])'
}

count() {
    python3 clients.py "$1"
    kill "$proxy"
    wait "$proxy" || true
    proxy=
}

in_nginx() { # how it balances, what a server has, what is tried again
    local port
    port=$(free)
    mkdir -p "nginx$port"
    cat >"nginx$port/nginx.conf" <<CONF
user root;
daemon off;
worker_processes 1;
pid $folder/nginx$port/pid;
events { worker_connections 64; }
http {
    access_log off;
    client_body_temp_path $folder/nginx$port/a;
    proxy_temp_path $folder/nginx$port/b;
    fastcgi_temp_path $folder/nginx$port/c;
    uwsgi_temp_path $folder/nginx$port/d;
    scgi_temp_path $folder/nginx$port/e;
    upstream pods {
        $1
        server 127.0.0.1:$refusing $2;
        server 127.0.0.1:$taking $2;
    }
    server {
        listen 127.0.0.1:$port;
        proxy_http_version 1.1;
        proxy_set_header Upgrade \$http_upgrade;
        proxy_set_header Connection upgrade;
        location / {
            $3
            proxy_pass http://pods;
        }
    }
}
CONF
    root/usr/sbin/nginx -p "nginx$port" -e "$folder/nginx$port/error.log" -c "$folder/nginx$port/nginx.conf" &
    proxy=$!
    count "$port"
}

in_haproxy() { # how it balances, what is tried again
    local port
    port=$(free)
    cat >"haproxy$port.cfg" <<CONF
defaults
    mode http
    timeout connect 5s
    timeout client 1m
    timeout server 1m
    timeout tunnel 1m
    $2
frontend public
    bind 127.0.0.1:$port
    default_backend pods
backend pods
    balance $1
    server one 127.0.0.1:$refusing
    server two 127.0.0.1:$taking
CONF
    root/usr/sbin/haproxy -db -f "haproxy$port.cfg" 2>/dev/null &
    proxy=$!
    count "$port"
}

again='retry-on 503
    option redispatch 1'
seen=$(
    printf 'nginx, in turn: '; in_nginx "" "max_fails=0" ""
    printf 'nginx, least_conn: '; in_nginx "least_conn;" "max_fails=0" ""
    printf 'nginx, least_conn and a retry: '; in_nginx "least_conn;" "max_fails=0" "proxy_next_upstream error http_503;"
    printf 'HAProxy, in turn: '; in_haproxy roundrobin ""
    printf 'HAProxy, leastconn: '; in_haproxy leastconn ""
    printf 'HAProxy, leastconn and a retry: '; in_haproxy leastconn "$again"
)
expected="nginx, in turn: 4
nginx, least_conn: 1
nginx, least_conn and a retry: 8
HAProxy, in turn: 4
HAProxy, leastconn: 1
HAProxy, leastconn and a retry: 8"
printf '%s\n' "$seen"
if [[ $seen != "$expected" ]]; then
    printf 'expected:\n%s\n' "$expected" >&2
    exit 1
fi
