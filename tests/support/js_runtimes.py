"""The runtimes of JavaScript on which the client is tested: taken from npm where they are not here yet."""

import json
import platform
import sys
from dataclasses import dataclass
from typing import Final

from tests.support.node import node, npm
from tests.support.repository import ROOT

PACKAGES: Final = ROOT / "tests" / "clients" / "runtimes"
"""The folder whose lock says which versions they have."""
UNREACHABLE: Final = ("ENOTFOUND", "ECONNREFUSED", "ETIMEDOUT", "EAI_AGAIN", "ECONNRESET")
"""What npm says where it cannot reach its registry."""


class Unavailable(Exception):
    """Why a runtime cannot be had here."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """A program that runs JavaScript, with a WebSocket class of its own."""

    name: str
    package: str = ""
    """In the lock; empty for the Node of this environment."""
    binary: str = ""
    """Below `package`, for Linux on x64."""
    arguments: tuple[str, ...] = ()
    large: bool = True
    """Whether it is installed only with all the others, for the slow tests."""

    def command(self) -> list[str]:
        """What starts a program that is named after it. Raises Unavailable."""
        if not self.package:
            return [str(node())]
        if sys.platform != "linux" or platform.machine() != "x86_64":
            raise Unavailable(f"{self.name} is pinned for Linux on x64 only")
        if not self._is_here():
            try:
                npm("ci", "--ignore-scripts", "--no-audit", "--no-fund", *self._omitted(), cwd=PACKAGES)
            except AssertionError as error:
                if any(code in str(error) for code in UNREACHABLE):
                    raise Unavailable("the npm registry cannot be reached") from None
                raise
        return [str(PACKAGES / "node_modules" / self.package / self.binary), *self.arguments]

    def _omitted(self) -> tuple[str, ...]:
        return () if self.large else ("--omit=optional",)

    @property
    def version(self) -> str:
        """The one that the lock has, where the runtime is in it."""
        lock = json.loads((PACKAGES / "package-lock.json").read_text(encoding="utf-8"))
        return str(lock["packages"][f"node_modules/{self.package}"]["version"]) if self.package else ""

    def _is_here(self) -> bool:
        try:
            found = (PACKAGES / "node_modules" / self.package / "package.json").read_text(encoding="utf-8")
        except OSError:
            return False
        return bool(json.loads(found)["version"] == self.version)


RUNTIMES: Final = (
    Runtime("node22", "node22", "bin/node", large=False),
    Runtime("node24", large=False),
    Runtime("node26", "node26", "bin/node"),
    Runtime("deno", "@deno/linux-x64-glibc", "deno", ("run", "--allow-all", "--quiet")),
    Runtime("bun", "@oven/bun-linux-x64", "bin/bun"),
)
