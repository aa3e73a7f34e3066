"""What an issuer is for the checks: its settings, its tokens, and how it changes its keys."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiohttp

from tests.support.fetched import Missing

PATIENCE: Final = 420.0
"""Seconds for the start of a program on a busy machine."""


@dataclass(frozen=True)
class Issuer:
    """One that is running, or a library that has made tokens."""

    settings: Mapping[str, object]
    """Those of the page for the gateway, by their names in lower case, with the addresses of this run."""
    token: Callable[[], Awaitable[str]]
    """Makes a new token of the user."""
    user: str
    may: Mapping[str, str]
    """By room, which of the rights `r` and `w` the token gives there."""
    odd: Mapping[str, str] = field(default_factory=dict)
    """Tokens as they come without the settings or the shape that the page names, by what they are."""
    change_keys: Callable[[], Awaitable[None]] | None = None
    """Makes it sign with another key; None where it publishes none."""


Running = Callable[[Path], AbstractAsyncContextManager[Issuer]]
"""Starts an issuer with a folder of its own. Raises Missing."""


@asynccontextmanager
async def process(command: Sequence[str], place: Path, url: str, **environ: str) -> AsyncIterator[None]:
    """Runs a server until the block ends; the block begins when `url` answers. Raises Missing."""
    log = place / "log"
    with log.open("w") as output:
        running = await asyncio.create_subprocess_exec(
            *command, cwd=place, env=os.environ | environ, stdout=output, stderr=output, start_new_session=True
        )
        try:
            async with asyncio.timeout(PATIENCE):
                while not await _answers(url):
                    if running.returncode is not None:
                        raise Missing(f"{command[0]} ended: {log.read_text(errors='replace').strip()[-800:]}")
                    await asyncio.sleep(0.2)
            yield
        except TimeoutError:
            raise Missing(f"{command[0]} did not start: {log.read_text(errors='replace').strip()[-800:]}") from None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)
            await running.wait()


async def _answers(url: str) -> bool:
    try:
        async with aiohttp.request("GET", url) as response:
            return response.status == 200
    except aiohttp.ClientError:
        return False


async def post(url: str, form: Mapping[str, str], *, key: str = "access_token", **headers: str) -> str:
    """One field of what a token endpoint answers."""
    async with aiohttp.request("POST", url, data=form, headers=headers) as response:
        answer = await response.json()
        if response.status != 200:
            raise Missing(f"{url} answers {response.status}: {answer}")
        return str(answer[key])
