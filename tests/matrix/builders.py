"""Fetches a library and builds its program, once, into `.clients_cache` or the folder that CLIENTS_CACHE names."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.matrix.libraries import Library
from tests.support import fetched
from tests.support.fetched import Missing, run, say
from tests.support.js_runtimes import RUNTIMES, Unavailable
from tests.support.node import environment, node

CACHE: Final = "CLIENTS_CACHE"
"""The variable that names another folder for what is fetched and built."""

_NUMBER: Final = re.compile(r"\d+(?:\.\d+)+")


@dataclass(frozen=True, slots=True)
class Built:
    """A program that can be started."""

    command: tuple[str | Path, ...]
    folder: Path
    version: str = ""
    """Of the library."""
    environ: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Language:
    """How a library gets here, and how a program that uses it is built and started. Each function may raise Missing."""

    fetch: Callable[[Library, Path], None]
    """Put what `needs` names into the folder."""
    make: Callable[[Library, Path], None]
    """Build the program in the folder."""
    start: Callable[[Library, Path], Built]


def build(library: Library) -> Built:
    """The program of a library. Raises Missing, which says what this machine lacks."""
    folder = fetched.folder(".clients_cache", CACHE) / library.language / library.name
    language = _LANGUAGES[library.language]
    folder.mkdir(parents=True, exist_ok=True)
    if _is_new(folder / ".fetched", repr(sorted(library.needs.items())), lambda: language.fetch(library, folder)):
        (folder / ".made").unlink(missing_ok=True)
    text = "\n".join(source.read_text(encoding="utf-8") for source in library.sources)
    _is_new(folder / ".made", text, lambda: _make(language, library, folder))
    return language.start(library, folder)


def _make(language: Language, library: Library, folder: Path) -> None:
    say(f"building {library.title}")
    for source in library.sources:
        shutil.copy(source, folder)
    language.make(library, folder)


def _is_new(mark: Path, text: str, do: Callable[[], None]) -> bool:
    """Do it unless the mark says that it was done with this text."""
    now = hashlib.sha256(text.encode()).hexdigest()
    if mark.exists() and mark.read_text() == now:
        return False
    mark.unlink(missing_ok=True)
    do()
    mark.write_text(now)
    return True


def _tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise Missing(f"no {name} on PATH")
    return found


def _version(*command: str | Path) -> str:
    """The first number that a command prints."""
    done = run(command)
    found = _NUMBER.search(done.stdout + done.stderr)
    if found is None:
        raise Missing(f"{command[0]} says no version")
    return found[0]


def _nothing(library: Library, folder: Path) -> None:
    """Where there is nothing to be done."""


def _fetch_python(library: Library, folder: Path) -> None:
    shutil.rmtree(folder / "packages", ignore_errors=True)
    wanted = [f"{name}=={version}" for name, version in library.needs.items()]
    run([sys.executable, "-m", "pip", "install", "--quiet", "--target", folder / "packages", *wanted])


def _start_python(library: Library, folder: Path) -> Built:
    environ = {"PYTHONPATH": str(folder / "packages")}
    return Built((sys.executable, folder / library.source), folder, library.version, environ)


def _fetch_javascript(library: Library, folder: Path) -> None:
    if library.needs:
        (folder / "package.json").write_text(json.dumps({"private": True, "dependencies": dict(library.needs)}))
        npm = node().parent / "npm"
        run([npm, "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"], environment(), folder)


def _start_javascript(library: Library, folder: Path) -> Built:
    command: list[str] = [str(node())]
    if library.runtime:
        [runtime] = [each for each in RUNTIMES if each.name == library.runtime]
        try:
            command = runtime.command()
        except Unavailable as why:
            raise Missing(str(why)) from None
        except subprocess.TimeoutExpired:
            raise Missing("npm takes too long to fetch the runtimes: run it again") from None
    version = library.version or _version(command[0], "--version")
    return Built((*command, folder / library.source), folder, version, environment())


def _fetch_go(library: Library, folder: Path) -> None:
    requires = "".join(f"require {name} {version}\n" for name, version in library.needs.items())
    (folder / "go.mod").write_text(f"module matrix\n\ngo 1.23\n\n{requires}")


def _make_go(library: Library, folder: Path) -> None:
    run([_tool("go"), "build", "-mod=mod", "-o", "program", "."], cwd=folder)


def _start_go(library: Library, folder: Path) -> Built:
    return Built((folder / "program",), folder, library.version.removeprefix("v"))


def _fetch_rust(library: Library, folder: Path) -> None:
    needs = "".join(f"{name} = {_inline(wanted)}\n" for name, wanted in library.needs.items())
    package = f'[package]\nname = "{library.name}"\nversion = "0.0.0"\nedition = "2021"\n'
    program = f'[[bin]]\nname = "{library.name}"\npath = "{library.source}"\n'
    (folder / "Cargo.toml").write_text(f"{package}\n{program}\n[dependencies]\n{needs}\n[profile.dev]\ndebug = false\n")


def _inline(wanted: str | Mapping[str, object]) -> str:
    """A version, or a table of a version and features, in TOML."""
    if isinstance(wanted, str):
        return json.dumps(wanted)
    return "{ " + ", ".join(f"{key} = {json.dumps(value)}" for key, value in wanted.items()) + " }"


def _make_rust(library: Library, folder: Path) -> None:
    # What they share is compiled once.
    environ = {**os.environ, "CARGO_TARGET_DIR": str(folder.parent / "target")}
    run([_tool("cargo"), "build", "--quiet", "--jobs", "1"], environ, folder)


def _start_rust(library: Library, folder: Path) -> Built:
    return Built((folder.parent / "target" / "debug" / library.name,), folder, library.version)


def _fetch_java(library: Library, folder: Path) -> None:
    if not library.needs:
        return
    wanted = ""
    for name, version in library.needs.items():
        group, _, artifact = name.partition(":")
        fields = {"groupId": group, "artifactId": artifact, "version": version}
        wanted += f"<dependency>{''.join(f'<{tag}>{text}</{tag}>' for tag, text in fields.items())}</dependency>"
    own = "<groupId>matrix</groupId><artifactId>matrix</artifactId><version>1</version>"
    pom = f"<modelVersion>4.0.0</modelVersion>{own}<dependencies>{wanted}</dependencies>"
    (folder / "pom.xml").write_text(f"<project>{pom}</project>")
    shutil.rmtree(folder / "jars", ignore_errors=True)
    copy = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
    run([_tool("mvn"), "--batch-mode", "--quiet", copy, "-DoutputDirectory=jars"], cwd=folder)


def _make_java(library: Library, folder: Path) -> None:
    run([_tool("javac"), "-cp", "jars/*", "-d", "classes", "Terminal.java", library.source], cwd=folder)


def _start_java(library: Library, folder: Path) -> Built:
    # It runs for seconds only: there is nothing to be gained by the second compiler.
    command = (_tool("java"), "-XX:TieredStopAtLevel=1", "-cp", f"{folder}/classes:{folder}/jars/*")
    version = library.version or _version(_tool("java"), "-version")
    return Built((*command, library.source.removesuffix(".java")), folder, version)


def _fetch_cpp(library: Library, folder: Path) -> None:
    fetched.debian(folder / "root", list(library.needs))


def _make_cpp(library: Library, folder: Path) -> None:
    root = folder / "root"
    places = [*root.glob("usr/lib/*-linux-gnu*"), *root.glob("lib/*-linux-gnu*")]
    links = [word for names in library.needs.values() for word in str(names).split()]
    options = ["-std=c++17", "-O0", f"-I{root}/usr/include", *(f"-I{each}" for each in root.glob("usr/include/*-gnu*"))]
    searched = [f"-L{each}" for each in places] + [f"-Wl,-rpath,{each}" for each in places]
    run([_tool("g++"), *options, library.source, "-o", "program", *searched, *links], cwd=folder)


def _start_cpp(library: Library, folder: Path) -> Built:
    [name, *_] = library.needs
    packages = [each.name.split("_") for each in (folder / "root.packages" / "archives").glob("*.deb")]
    [version] = {words[1] for words in packages if words[0] == name}
    return Built((folder / "program",), folder, version.partition("-")[0].partition("+")[0])


_LANGUAGES: Final = {
    "python": Language(_fetch_python, _nothing, _start_python),
    "javascript": Language(_fetch_javascript, _nothing, _start_javascript),
    "go": Language(_fetch_go, _make_go, _start_go),
    "rust": Language(_fetch_rust, _make_rust, _start_rust),
    "java": Language(_fetch_java, _make_java, _start_java),
    "cpp": Language(_fetch_cpp, _make_cpp, _start_cpp),
}
