"""A Redis of one's own for each test that asks for one."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import hiredis
import pytest


class RedisServer:
    """A redis-server process that can be killed, frozen and started again on the same port and files."""

    def __init__(self, folder: Path, *options: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self.folder = folder
        self.options = options
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder),
             "--save", "", *self.options],
            stdout=subprocess.DEVNULL,
        )
        for _ in range(200):
            try:
                if self.do("PING") is not None:
                    return
            except OSError:
                pass
            import time
            time.sleep(0.02)
        raise TimeoutError("redis-server did not start")

    def kill(self) -> None:
        assert self.process
        self.process.kill()
        self.process.wait()

    def freeze(self) -> None:
        assert self.process
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.process
        self.process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.thaw()
            self.kill()

    def do(self, *command: str | bytes | int):
        reader = hiredis.Reader()
        with socket.create_connection(("127.0.0.1", self.port), 5) as connection:
            connection.sendall(hiredis.pack_command(command))
            while (reply := reader.gets()) is False:
                data = connection.recv(65536)
                if not data:
                    raise OSError("closed")
                reader.feed(data)
        return reply


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.close()
