#!/usr/bin/env bash
# A constant that is a tuple of floats counts as not set in what mypyc has compiled.
#
# Seen with mypy 2.4.1 on Python 3.13.0: where a function of the module reads a `Final` tuple of floats whose type is
# inferred, it raises NameError: value for final name was not set. With the type `tuple[float, ...]` it is read. PYTHON
# may name a Python.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet mypy==2.4.1 setuptools==80.9.0

cat >bounds.py <<'PY'
from typing import Final

INFERRED: Final = (0.5, 1.0)
WRITTEN: Final[tuple[float, ...]] = (0.5, 1.0)


def inferred() -> tuple[float, ...]:
    return INFERRED


def written() -> tuple[float, ...]:
    return WRITTEN
PY
cat >run.py <<'PY'
import sys

sys.path.insert(0, sys.argv[1])
import bounds

for read in (bounds.inferred, bounds.written):
    try:
        print(sys.argv[1], read())
    except NameError as error:
        print(sys.argv[1], error)
PY
mkdir plain compiled
cp bounds.py plain
cp bounds.py compiled
(cd compiled && PATH=$folder/venv/bin:$PATH ../venv/bin/mypyc bounds.py >build.log 2>&1 && rm bounds.py)

seen=$(for build in plain compiled; do venv/bin/python run.py "$build"; done)
expected='plain (0.5, 1.0)
plain (0.5, 1.0)
compiled value for final name "INFERRED" was not set
compiled (0.5, 1.0)'
printf '%s\n' "$seen"
if [[ $seen != "$expected" ]]; then
    printf 'expected:\n%s\n' "$expected" >&2
    exit 1
fi
