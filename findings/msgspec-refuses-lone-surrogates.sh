#!/usr/bin/env bash
# msgspec refuses JSON with half of a surrogate pair, which the grammar of JSON has and `JSON.stringify` writes.
#
# Seen with msgspec 0.22.0 of PyPI: `"\ud800"` is a JSON string by the grammar of RFC 8259, whose section 8.2 warns that
# parsers differ. The json of Python's standard library makes a string of it, which cannot be encoded as UTF-8 later.
# msgspec raises DecodeError, and says that the input was truncated. A browser writes such a text for half of an emoji, as `"a😀".slice(0, 2)` makes one. A
# service that parses with one library and passes on with another meets both.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check msgspec==0.22.0

cat >run.py <<'PY'
import json

import msgspec

TEXT = '"a\\ud83d"'
parsed = json.loads(TEXT)
print("json:", ascii(parsed))
try:
    parsed.encode()
except UnicodeEncodeError as error:
    print("and as UTF-8:", error.reason)
try:
    print("msgspec:", ascii(msgspec.json.decode(TEXT)))
except msgspec.DecodeError as error:
    print("msgspec:", error)
print("a whole pair:", ascii(msgspec.json.decode('"a\\ud83d\\ude00"')))
PY

seen=$(venv/bin/python run.py)
expected="json: 'a\\ud83d'
and as UTF-8: surrogates not allowed
msgspec: Input data was truncated
a whole pair: 'a\\U0001f600'"
printf '%s\n' "$seen"
if [[ $seen != "$expected" ]]; then
    printf 'expected:\n%s\n' "$expected" >&2
    exit 1
fi
