"""Takes each defence out of a copy of this tree, and demands that its tests notice: `python -m tests.mutation`.

`defences.toml` says which text is taken out and which tests must fail then. Without arguments all of them are tried;
words choose those with one of them in their name or threats: `python -m tests.mutation S23 pongs`.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.mutation.defences import Defence, defences
from tests.support.repository import ROOT, files

# A test that hangs without the defence has noticed it too.
_PATIENCE = 180


def main(words: list[str]) -> int:
    """Try the chosen defences; the exit status."""
    chosen = [one for one in defences() if not words or any(one.matches(word) for word in words)]
    if not chosen:
        print(f"no defence has {' or '.join(words)} in its name or threats")
        return 2
    with tempfile.TemporaryDirectory(prefix="forestay-mutation-") as folder:
        copy = Path(folder)
        for path in files():
            target = copy / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target)
        print(f"all {len(chosen)} defences in place …", flush=True)
        status, output = _run(copy, sorted({test for one in chosen for test in one.tests}))
        if status != 0:
            print(output)
            print("the tests fail with all defences in place; nothing can be learned from that")
            return 2
        unnoticed = [one for one in chosen if not _noticed(copy, one)]
    noticed = len(chosen) - len(unnoticed)
    print(f"\n{noticed} of {len(chosen)} defences are noticed when they are gone")
    for one in unnoticed:
        print(f"  NOT: {one.name} ({one.file}), by {', '.join(one.tests)}")
    return 1 if unnoticed else 0


def _noticed(copy: Path, defence: Defence) -> bool:
    """Whether the tests fail without `defence`."""
    path = copy / defence.file
    before = path.read_text()
    started = time.monotonic()
    path.write_text(defence.taken_out(before))
    try:
        status, output = _run(copy, list(defence.tests))
    finally:
        path.write_text(before)
    # pytest ends with 1 where tests failed; other numbers mean that they did not run.
    noticed = status in (1, None)
    print(f"  {'noticed' if noticed else 'NOT    '}  {defence.name}  ({time.monotonic() - started:.0f} s)", flush=True)
    if status not in (0, 1, None):
        print(output)
    return noticed


def _run(copy: Path, tests: list[str]) -> tuple[int | None, str]:
    """The exit status and the output of `tests` in the copy. No status where they did not end in time."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    # Before the installed package, which is this tree.
    environ = os.environ | {"PYTHONPATH": str(copy / "app"), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command, cwd=copy, env=environ, check=False, capture_output=True, text=True, timeout=_PATIENCE * len(tests)
        )
    except subprocess.TimeoutExpired:
        return None, "the tests did not end in time"
    return done.returncode, done.stdout + done.stderr


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
