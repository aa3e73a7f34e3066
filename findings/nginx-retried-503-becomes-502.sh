#!/usr/bin/env bash
# nginx that tries a 503 on the next server answers 502 by itself, for ten seconds, once each server has refused.
#
# Seen with nginx 1.22.1 of Debian 12: with `proxy_next_upstream http_503`, a 503 counts as a failure of its server, and
# `max_fails` is 1. The first client of two full servers gets the 503 of the last one, with its `Retry-After` and its
# body. The next ones get a 502 of nginx without either ("no live upstreams"). With `max_fails=0` all get the 503.
# A client that retries a 503 and gives up at a 502, as an EventSource does at both, reads another story.
set -euo pipefail
folder=$(mktemp -d)
nginx=
server=
# shellcheck disable=SC2317  # called by the trap
end() {
    [[ -z $nginx ]] || kill "$nginx" 2>/dev/null || true
    [[ -z $server ]] || kill "$server" 2>/dev/null || true
    wait 2>/dev/null || true
    rm -rf "$folder"
}
trap end EXIT
cd "$folder"

mkdir -p packages/archives/partial
apt-get install -qq --yes --reinstall --download-only --no-install-recommends -o "Dir::Cache=$folder/packages" \
    nginx >/dev/null 2>&1
for package in packages/archives/*.deb; do dpkg -x "$package" root; done
libraries=$(printf '%s:' root/usr/lib/*-linux-gnu*)
export LD_LIBRARY_PATH=$libraries

cat >full.py <<'PY'
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


class Full(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(503)
        self.send_header("Retry-After", "3")
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"full")

    def log_message(self, *_: object) -> None:
        pass


servers = [ThreadingHTTPServer(("127.0.0.1", 0), Full) for _ in range(2)]
Thread(target=servers[0].serve_forever, daemon=True).start()
with open(sys.argv[1], "w") as file:
    print(*(server.server_address[1] for server in servers), file=file)
servers[1].serve_forever()
PY
python3 full.py port &
server=$!
until [[ -s port ]]; do sleep 0.1; done
read -r first second <port

ask() {
    local port
    port=$(python3 -c 'import socket; one = socket.socket(); one.bind(("127.0.0.1", 0)); print(one.getsockname()[1])')
    mkdir -p "run$port"
    cat >"run$port/nginx.conf" <<CONF
user root;
daemon off;
worker_processes 1;
pid $folder/run$port/pid;
error_log $folder/run$port/error.log;
events { worker_connections 64; }
http {
    access_log off;
    client_body_temp_path $folder/run$port/a;
    proxy_temp_path $folder/run$port/b;
    fastcgi_temp_path $folder/run$port/c;
    uwsgi_temp_path $folder/run$port/d;
    scgi_temp_path $folder/run$port/e;
    upstream pods {
        server 127.0.0.1:$first $1;
        server 127.0.0.1:$second $1;
    }
    server {
        listen 127.0.0.1:$port;
        location / {
            proxy_next_upstream error timeout http_503;
            proxy_pass http://pods;
        }
    }
}
CONF
    root/usr/sbin/nginx -p "run$port" -e "$folder/run$port/error.log" -c "$folder/run$port/nginx.conf" &
    nginx=$!
    until curl --silent --output /dev/null "http://127.0.0.1:$port/" 2>/dev/null; do sleep 0.1; done
    # The first answer was read by the line above.
    for _ in 1 2 3; do
        curl --silent --output /dev/null --write-out '%{http_code} retry-after=%header{retry-after}\n' \
            "http://127.0.0.1:$port/"
    done | sort | uniq -c | sed 's/^ *//'
    kill "$nginx"
    wait "$nginx" || true
    nginx=
}

seen=$(printf 'default: '; ask ""; printf 'max_fails=0: '; ask "max_fails=0")
expected="default: 3 502 retry-after=
max_fails=0: 3 503 retry-after=3"
printf '%s\n' "$seen"
if [[ $seen != "$expected" ]]; then
    printf 'expected:\n%s\n' "$expected" >&2
    exit 1
fi
