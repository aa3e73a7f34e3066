"""What is compiled can be compiled, and does the same as before."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.compiled import MYPYC, compiled_files
from tests.support.repository import ROOT, syntax

# The front end of mypyc alone: it writes C, and nothing compiles that.
FRONT_END = """
import sys
from mypyc.build import mypycify
mypycify(sys.argv[2:], group_name="forestay.compiled", target_dir=sys.argv[1])
"""


def test_each_path_that_is_left_out_exists() -> None:
    """No path in the list of what is compiled, and of what is left out, is stale."""
    paths = [path for path in (*MYPYC["include"], *MYPYC["exclude"]) if path.startswith("/")]
    assert [path for path in paths if not (ROOT / path[1:]).exists()] == []


def test_no_struct_is_compiled() -> None:
    """No compiled module has a Struct: it would lose the keywords of its class statement, without a word."""
    structs = [
        f"{file}:{node.lineno} {node.name}"
        for file in compiled_files()
        for node in ast.walk(syntax(ROOT / file))
        if isinstance(node, ast.ClassDef) and any("Struct" in ast.unparse(base) or node.keywords for base in node.bases)
    ]
    assert structs == []


def test_the_image_is_compiled_and_has_no_compiler() -> None:
    """The build of the image ends where its gateway is not compiled. Only its first stage has a C compiler."""
    build, image = (ROOT / "Dockerfile").read_text(encoding="utf-8").split("\nFROM ")[1:]
    assert "forestay --version | grep -F '(compiled)'" in build
    assert "gcc" in build
    assert not {"gcc", "apt-get", "RUN"} & set(image.split())


# It takes seconds of CPU, which a busy machine makes a minute.
@pytest.mark.timeout(300)
def test_mypyc_takes_each_module_as_it_is(tmp_path: Path) -> None:
    """The compiler reports nothing: no feature that it lacks, and no generator that it would turn into a list.

    The list is made at once, and where an iterator is expected, it is none. Write a list, or a generator function.
    """
    arguments = (*MYPYC["mypy-args"], "--cache-dir=.mypy_cache/mypyc", *map(str, compiled_files()))
    command = (sys.executable, "-c", FRONT_END, str(tmp_path), *arguments)
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)
    lines = [line for line in (done.stdout + done.stderr).splitlines() if "error:" in line or "warning:" in line]
    assert (lines, done.returncode) == ([], 0), done.stderr
