#!/usr/bin/env bash
# A coroutine that mypyc has compiled is cancelled with the form of throw() that Python 3.12 deprecates.
#
# Seen with mypy 2.4.1 on Python 3.12.1 and 3.13.0: a cancellation reaches what a compiled coroutine awaits by
# `throw(type, value, traceback)`, and Python warns. Where warnings are errors, as in many test suites, the
# DeprecationWarning takes the place of the CancelledError: the task is not cancelled but failed. The same coroutine,
# not compiled, is cancelled without a word. PYTHON may name a Python; it has to be 3.12 or newer.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python=
for each in ${PYTHON:-} python3.14 python3.13 python3.12 python3; do
    if "$each" -c 'import sys; sys.exit(sys.version_info < (3, 12))' >/dev/null 2>&1; then
        python=$each
        break
    fi
done
if [[ -z $python ]]; then
    printf 'this needs Python 3.12 or newer, and a C compiler\n' >&2
    exit 2
fi
"$python" -m venv venv
venv/bin/pip install --quiet mypy==2.4.1 setuptools==80.9.0

cat >waiter.py <<'PY'
from asyncio import Event


async def wait(event: Event) -> None:
    await event.wait()
PY
cat >run.py <<'PY'
import asyncio
import sys

sys.path.insert(0, sys.argv[1])
import waiter


async def main() -> None:
    task = asyncio.ensure_future(waiter.wait(asyncio.Event()))
    await asyncio.sleep(0)
    task.cancel()
    [ended] = await asyncio.gather(task, return_exceptions=True)
    print(sys.argv[1], type(ended).__name__)


asyncio.run(main())
PY
mkdir plain compiled
cp waiter.py plain
cp waiter.py compiled
(cd compiled && PATH=$folder/venv/bin:$PATH ../venv/bin/mypyc waiter.py >build.log 2>&1 && rm waiter.py)

seen=$(for build in plain compiled; do venv/bin/python -W error::DeprecationWarning run.py "$build"; done)
expected="plain CancelledError
compiled DeprecationWarning"
printf '%s\n' "$seen"
if [[ $seen != "$expected" ]]; then
    printf 'expected:\n%s\n' "$expected" >&2
    exit 1
fi
