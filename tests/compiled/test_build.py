"""The build that these tests run on is the one that they are meant for, and what is compiled in it really is."""

import json
import os
from importlib import import_module
from importlib.machinery import EXTENSION_SUFFIXES

from forestay import __version__, build
from tests.support.compiled import compiled_files, module_of
from tests.support.process import forestay, serving

# `make test-compiled` sets it. The source tree is plain.
EXPECTED = os.environ.get("EXPECTED_BUILD", "plain")


def test_each_module_is_compiled_or_none() -> None:
    """In the compiled build each module of the list in pyproject.toml is a library. In the plain one none is."""
    names = [module_of(file) for file in compiled_files()]
    compiled = {name for name in names if str(import_module(name).__file__).endswith(tuple(EXTENSION_SUFFIXES))}
    assert compiled == (set(names) if EXPECTED == "compiled" else set())
    assert len(names) > 60
    assert build.kind() == EXPECTED


async def test_the_process_says_which_build_it_is() -> None:
    """`forestay --version` and the log line of the start name the build."""
    assert await forestay("--version") == (0, f"forestay {__version__} ({EXPECTED})\n", "")
    async with serving() as served:
        [ready] = [line for line in served.log.splitlines() if '"internal_port"' in line]
        assert json.loads(ready)["build"] == EXPECTED
