"""Builds the wheel: compiled where this machine can compile, else as plain Python.

hatch-mypyc compiles the modules that pyproject.toml names, and setuptools `speedups.c`. Both work on a copy of the
sources: hatch-mypyc leaves its results where it works, and this tree would import them in place of the sources.
"""

import os
import platform
import shlex
import shutil
import subprocess
import sys
import sysconfig
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# What compiles. msgspec is there because mypyc reads the types of what the modules import.
NEEDS: Final = ["hatch-mypyc>=0.16", "msgspec>=0.20", "mypy>=2.4", "setuptools>=77"]

SPEEDUPS: Final = """
from setuptools import Extension, setup
extension = Extension("forestay.speedups", ["app/forestay/speedups.c"], extra_compile_args=["-O3", "-g0"])
setup(name="speedups", package_dir={"": "app"}, packages=[], ext_modules=[extension])
"""


class CompiledWheel(BuildHookInterface[Any]):
    def dependencies(self) -> list[str]:
        """What has to be installed to build: nothing more where the wheel will be plain."""
        return [] if cannot_compile() else NEEDS

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        if reason := cannot_compile():
            self.app.display_warning(f"forestay becomes a wheel of plain Python, which is slower: {reason}")
            return
        # It lasts until the wheel is written.
        self._folder = TemporaryDirectory(prefix="forestay-build-")
        copy = Path(self._folder.name).resolve()
        shutil.copytree(Path(self.root) / "app", copy / "app", ignore=shutil.ignore_patterns("__pycache__", "*.so"))
        # hatch-mypyc moves this file aside and back.
        (copy / "pyproject.toml").touch()
        with chdir(copy):
            self._compile_modules(copy)
            _run(sys.executable, "-c", SPEEDUPS, "build_ext", "--inplace")
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        for library in sorted((copy / "app").rglob("*.so")):
            build_data["force_include"][str(library)] = str(library.relative_to(copy))

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if folder := getattr(self, "_folder", None):
            folder.cleanup()

    def _compile_modules(self, copy: Path) -> None:
        from hatch_mypyc.plugin import MypycBuildHook

        mypyc = MypycBuildHook(
            str(copy),
            self.config["mypyc"],
            self.build_config,
            self.metadata,
            self.directory,
            self.target_name,
            self.app,
        )
        mypyc.initialize("standard", {"artifacts": [], "force_include": {}})


def cannot_compile() -> str | None:
    """Why this machine cannot compile for this Python, and what to do about it; None where it can."""
    if platform.python_implementation() != "CPython":
        return "only CPython runs compiled modules"
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        return "the compiled modules need a Python with the GIL"
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    if shutil.which(compiler[0]) is None:
        return f"there is no C compiler ({compiler[0]}); install one (on Debian: apt-get install gcc libc6-dev)"
    with TemporaryDirectory() as folder:
        probe = Path(folder) / "probe.c"
        probe.write_text("#include <Python.h>\n")
        command = [*compiler, "-I", sysconfig.get_path("include"), "-c", str(probe), "-o", str(probe.with_suffix(".o"))]
        if subprocess.run(command, check=False, capture_output=True).returncode:
            return f"{compiler[0]} does not find Python.h (on Debian: apt-get install python3-dev libc6-dev)"
    return None


def _run(*command: str) -> None:
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise RuntimeError(f"compiling forestay.speedups failed:\n{done.stdout}")
