"""The proxies: how each is started and reloaded, and what its configuration needs around the one of the docs."""

import asyncio
import os
import re
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.meet.programs import Program, caddy, debian, folder
from tests.support.repository import ROOT

_BLOCK: Final = re.compile(r"^```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Ports:
    """Ports on this machine."""

    proxy: int
    pods: tuple[int, int]
    admin: int


@dataclass(frozen=True, slots=True)
class Kind:
    """One proxy."""

    name: str
    page: str
    """The page of the docs that has its configuration."""
    begins: str
    """How that begins."""
    program: Callable[[], Program]
    around: Callable[[str, Path, Program, Ports], str]
    """The whole configuration: the one of the docs, and what a process of its own needs: its files and modules."""
    command: Callable[[Path, Path], Sequence[str]]
    """What starts it, after its path, from the file of its configuration and its folder."""
    reload: signal.Signals | None
    """The signal that makes it read its configuration again; None: `caddy reload`."""
    http2: Callable[[str], str]
    """The configuration with HTTP/2 without TLS on its port."""

    def example(self) -> str:
        """Its configuration as the docs have it."""
        text = (ROOT / self.page).read_text(encoding="utf-8")
        return next(match[1] for match in _BLOCK.finditer(text) if match[1].startswith(self.begins))


def _nginx(text: str, place: Path, program: Program, ports: Ports) -> str:
    paths = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    files = "".join(f"    {each}_temp_path {place}/{each};\n" for each in paths)
    return (
        f"user root;\ndaemon off;\nworker_processes 1;\npid {place}/pid;\nerror_log {place}/error.log;\n"
        f"events {{ worker_connections 512; }}\nhttp {{\n    access_log {place}/access.log;\n{files}{text}}}\n"
    )


def _haproxy(text: str, place: Path, program: Program, ports: Ports) -> str:
    logged = text.replace("    mode http\n", "    mode http\n    log global\n    option httplog\n", 1)
    return f"global\n    log stdout format raw local0\n\n{logged}"


def _apache(text: str, place: Path, program: Program, ports: Ports) -> str:
    modules = (
        "mpm_event authz_core slotmem_shm proxy proxy_http proxy_wstunnel proxy_balancer "
        "lbmethod_bybusyness headers rewrite http2"
    )
    loaded = "".join(
        f"LoadModule {each}_module {program.root}/usr/lib/apache2/modules/mod_{each}.so\n" for each in modules.split()
    )
    return (
        f"ServerRoot {place}\nPidFile {place}/pid\nServerName 127.0.0.1\nMutex file:{place}\n"
        f"DefaultRuntimeDir {place}\n"
        f"{loaded}User www-data\nGroup www-data\nErrorLog {place}/error.log\n"
        f'LogFormat "%h %l %u %t \\"%r\\" %>s %O \\"%{{Referer}}i\\" \\"%{{User-Agent}}i\\"" combined\n'
        f"CustomLog {place}/access.log combined\n{text}"
    )


def _caddy(text: str, place: Path, program: Program, ports: Ports) -> str:
    return f"{{\n    admin 127.0.0.1:{ports.admin}\n    auto_https off\n}}\n{text}"


KINDS: Final = {
    kind.name: kind
    for kind in (
        Kind(
            "nginx",
            "docs/operating.md",
            "upstream forestay",
            lambda: debian("nginx", "-v"),
            _nginx,
            lambda file, place: ("-c", str(file), "-p", str(place), "-e", str(place / "error.log")),
            signal.SIGHUP,
            lambda text: re.sub(r"listen (\S+);", r"listen \1 http2;", text),
        ),
        Kind(
            "HAProxy",
            "docs/operating.md",
            "defaults",
            lambda: debian("haproxy", "-v"),
            _haproxy,
            lambda file, _: ("-W", "-db", "-f", str(file)),
            signal.SIGUSR2,
            lambda text: re.sub(r"bind (\S+)", r"bind \1 proto h2", text),
        ),
        Kind(
            "Apache",
            "docs/proxies.md",
            "Listen 80",
            lambda: debian("apache2", "-v"),
            _apache,
            lambda file, place: ("-DFOREGROUND", "-d", str(place), "-f", str(file)),
            signal.SIGUSR1,
            lambda text: f"Protocols h2c http/1.1\n{text}",
        ),
        Kind(
            "Caddy",
            "docs/proxies.md",
            ":80 {",
            caddy,
            _caddy,
            lambda file, _: ("run", "--config", str(file), "--adapter", "caddyfile"),
            None,
            lambda text: text.replace(
                "auto_https off\n", "auto_https off\n    servers {\n        protocols h1 h2c\n    }\n"
            ),
        ),
    )
}


class Running:
    """A proxy in front of two pods."""

    def __init__(self, kind: Kind, ports: Ports, place: Path) -> None:
        self.kind = kind
        self.port = ports.proxy
        self._ports = ports
        self._place = place
        self._file = place / "configuration"
        self._program = kind.program()
        self._process: asyncio.subprocess.Process | None = None
        self._output = place / "output.log"

    async def start(self, idle: float | None, *, http2: bool = False) -> None:
        """Start it. `idle`: seconds in place of its long timeouts."""
        text = self.kind.example()
        for number, port in enumerate(self._ports.pods, 1):
            text = text.replace(f"10.0.0.{number}:8080", f"127.0.0.1:{port}")
        text = re.sub(
            r"(listen |bind |^)(Listen )?\*?:?80\b", rf"\1\g<2>127.0.0.1:{self.port}", text, flags=re.MULTILINE
        )
        if self.kind.name == "Caddy":
            text = text.replace(f"127.0.0.1:{self.port} {{", f"http://127.0.0.1:{self.port} {{", 1)
        if idle is not None:
            text = text.replace("1h", f"{idle:g}s").replace("3600", f"{idle:g}")
        text = self.kind.around(text, self._place, self._program, self._ports)
        self._file.write_text(self.kind.http2(text) if http2 else text)
        with self._output.open("wb") as output:
            self._process = await asyncio.create_subprocess_exec(
                str(self._program.path),
                *self.kind.command(self._file, self._place),
                env=dict(self._program.environ),
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        async with asyncio.timeout(20):
            while not await self._listens():
                if self._process.returncode is not None:
                    raise RuntimeError(f"{self.kind.name} does not start: {self.log()[-1500:]}")
                await asyncio.sleep(0.05)

    async def _listens(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        return True

    async def reload(self) -> None:
        """Make it read its configuration again."""
        assert self._process is not None
        if self.kind.reload is not None:
            self._process.send_signal(self.kind.reload)
        else:
            command = ("reload", "--force", "--config", str(self._file), "--adapter", "caddyfile")
            admin = ("--address", f"127.0.0.1:{self._ports.admin}")
            done = await asyncio.create_subprocess_exec(
                str(self._program.path),
                *command,
                *admin,
                env=dict(self._program.environ),
                stderr=asyncio.subprocess.DEVNULL,
            )
            assert await done.wait() == 0
        # No proxy says when its new workers serve.
        await asyncio.sleep(1.5)

    def log(self) -> str:
        """All that it has logged."""
        return "".join(file.read_text(errors="replace") for file in (*self._place.glob("*.log"),) if file.exists())

    def errors(self) -> str:
        """What it has logged about errors: a file of its own, or the lines of that level."""
        file = self._place / "error.log"
        if file.exists():
            return file.read_text(errors="replace")
        return "\n".join(line for line in self.log().splitlines() if '"level":"error"' in line)

    async def stop(self) -> None:
        """End it and its workers."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(5):
                await process.wait()
        except TimeoutError:
            pass
        # Workers of before a reload outlive the process that made them.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


def place_of(kind: Kind, number: int) -> Path:
    """A new folder for the files of one run of a proxy."""
    place = folder() / "runs" / f"{kind.name.lower()}-{number}"
    place.mkdir(parents=True, exist_ok=True)
    for file in place.glob("*.log"):
        file.unlink()
    return place
