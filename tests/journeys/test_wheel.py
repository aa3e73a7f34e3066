"""The wheel as users install it: one package, a command, and no clash with an application's own `app`.

These wheels are plain. The tests of the compiled build run on a compiled one.
"""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import forestay
from tests.support.repository import ROOT

# The switch of hatchling: no build hook, so nothing is compiled.
PLAIN = os.environ | {"HATCH_BUILD_NO_HOOKS": "true"}
CLASH = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "an-application"
version = "1.0"
[tool.hatch.build.targets.wheel]
packages = ["app"]
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree."""
    return _build(ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and another distribution, which has a top-level package `app`."""
    source, folder = tmp_path_factory.mktemp("application"), tmp_path_factory.mktemp("site")
    (source / "app").mkdir()
    (source / "app" / "__init__.py").write_text('OWNER = "the application"\n')
    (source / "pyproject.toml").write_text(CLASH)
    application = _build(source, tmp_path_factory.mktemp("application-wheel"))
    _pip("install", "--no-deps", "--no-index", "--target", str(folder), str(wheel), str(application))
    return folder


def test_the_wheel_has_one_package_with_the_pages(wheel: Path) -> None:
    """Nothing lies beside `forestay` but its metadata, and the files of both pages are in it."""
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {"forestay", f"forestay-{forestay.__version__}.dist-info"}
    pages = ROOT / "app" / "forestay" / "web"
    files = [file for file in pages.glob("*/*.*") if file.suffix != ".pyc"]
    assert {f"forestay/web/{file.parent.name}/{file.name}" for file in files} <= set(names)


def test_the_wheel_of_the_sdist_is_the_wheel_of_the_tree(wheel: Path, tmp_path: Path) -> None:
    """A wheel that is built from the sdist is the wheel of this tree, byte for byte."""
    command = (sys.executable, "-m", "hatchling", "build", "--target", "sdist", "--directory", str(tmp_path))
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT, env=PLAIN)
    [sdist] = tmp_path.glob("*.tar.gz")
    assert _build(sdist, tmp_path / "wheel").read_bytes() == wheel.read_bytes()


def test_a_machine_without_a_compiler_gets_the_plain_wheel(wheel: Path, tmp_path: Path) -> None:
    """It is the wheel for any platform, byte for byte, and the build says what is missing."""
    command = (sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path))
    environ = os.environ | {"CC": "no-such-compiler"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT, env=environ)
    assert "there is no C compiler (no-such-compiler); install one" in done.stdout + done.stderr
    [plain] = tmp_path.glob("*-py3-none-any.whl")
    assert plain.read_bytes() == wheel.read_bytes()


def test_the_module_and_the_command_work_beside_another_app(installed: Path) -> None:
    """`python -m forestay` and the command `forestay` run the installed package, and `import app` is the other one."""
    for command in ((sys.executable, "-P", "-m", "forestay"), (sys.executable, str(installed / "bin" / "forestay"))):
        assert _run(installed, *command, "--version") == f"forestay {forestay.__version__} (plain)\n"
    where = "import app, forestay; print(app.OWNER, forestay.__file__)"
    assert _run(installed, sys.executable, "-P", "-c", where) == (
        f"the application {installed / 'forestay' / '__init__.py'}\n"
    )


def _build(source: Path, folder: Path) -> Path:
    _pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(source))
    [wheel] = folder.glob("*.whl")
    return wheel


def _pip(*arguments: str) -> None:
    command = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments)
    subprocess.run(command, check=True, cwd=ROOT, env=PLAIN)


def _run(folder: Path, *command: str) -> str:
    """The output of `command`, which imports from `folder` first."""
    environ = os.environ | {"PYTHONPATH": str(folder)}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environ, cwd=folder)
    return done.stdout
