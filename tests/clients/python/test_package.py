"""The published package installs and is complete."""

import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from tests.support.repository import ROOT

PROJECT = ROOT / "clients" / "python"
MODULES = {path.name for path in (PROJECT / "src" / "forestay_client").iterdir() if path.is_file()}


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run([str(word) for word in command], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist and the wheel that was built from it, as in a release."""
    folder = tmp_path_factory.mktemp("built")
    run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", folder, cwd=PROJECT)
    [sdist] = folder.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    [tree] = (path for path in folder.iterdir() if path.is_dir())
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=tree)
    return folder


def test_the_wheel_has_the_whole_package_and_nothing_else(built: Path) -> None:
    """The wheel has all modules, py.typed, the licence and the metadata, and nothing else."""
    [wheel] = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {Path(name).name for name in names if name.startswith("forestay_client/")} == MODULES
    assert "py.typed" in MODULES
    others = [name.partition(".dist-info/")[2] for name in names if not name.startswith("forestay_client/")]
    assert sorted(others) == ["METADATA", "RECORD", "WHEEL", "licenses/LICENSE"]


def test_it_runs_in_an_empty_environment(built: Path, tmp_path: Path) -> None:
    """The wheel works in an empty environment with its one dependency, outside of the source tree."""
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    [wheel] = built.glob("*.whl")
    run(python, "-m", "pip", "install", "--no-index", "--no-deps", wheel, cwd=tmp_path)
    # Installed from the folder and not from an index, because the test is about our package.
    [site] = (tmp_path / "env" / "lib").glob("python*/site-packages")
    dependency = metadata.distribution("websockets")
    for name in {file.parts[0] for file in dependency.files or () if ".." not in file.parts}:
        shutil.copytree(str(dependency.locate_file(name)), site / name)
    run(python, "-m", "pip", "check", cwd=tmp_path)
    output = run(python, "-c", "import forestay_client as f; print(f.Client, f.__version__, f.__file__)", cwd=tmp_path)
    assert str(site) in output
    assert metadata.version("forestay-client") in output
