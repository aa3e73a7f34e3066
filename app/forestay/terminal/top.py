"""The command `top`: shows how all pods are, and what goes on, again and again on a terminal, or once."""

import argparse
import asyncio
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import aiohttp
import msgspec

from forestay.terminal.failed import Failed
from forestay.terminal.top_view import Answer, lines
from forestay.terminal.verbs import URL, NewVerb, duration, known_url
from forestay.terminal.words import printable, shown, system_words

INTERNAL: Final = "http://127.0.0.1:9090"
"""The internal port of a gateway on this machine."""

Key = Callable[[], str | None]
"""Returns the key of the API, from where the settings have it. Raises ValueError."""

_SORTS: Final = ("members", "traffic")
_TIME_LIMIT: Final = 5.0
_LEAST_EVERY: Final = 0.1
# Seconds after which the traffic of rooms is asked for again, where there is only one picture.
_COUNTING: Final = 2.0

# ECMA-48: another screen without a cursor, and back; to the top; to the end of the line, and of the screen.
_BEGIN: Final = "\x1b[?1049h\x1b[?25l"
_END: Final = "\x1b[?25h\x1b[?1049l"
_HOME: Final = "\x1b[H"
_REST_OF_LINE: Final = "\x1b[K"
_REST: Final = "\x1b[J"


def add(new: NewVerb, key: Key) -> None:
    """Adds the command to the command line."""
    top = new("top", help="show how all pods are, their busiest rooms, slow readers and close codes")
    top.add_argument("--url", help=f"URL of the internal port (default {URL} where it has http, else {INTERNAL})")
    top.add_argument("--once", action="store_true", help="print one picture and exit, as on a pipe")
    top.add_argument("--by", choices=_SORTS, default="members", help="sort rooms by members or by traffic")
    top.add_argument("--every", type=duration, default=2.0, help="time between two pictures (default 2s)")
    top.set_defaults(run=lambda options: _run(options, key))


def _run(options: argparse.Namespace, key: Key) -> None:
    known = known_url()
    url = (options.url or (known if known.lower().startswith("http") else INTERNAL)).rstrip("/")
    if not url.lower().startswith(("http://", "https://")):
        raise Failed(f"{shown(url)}: top asks the internal port over HTTP; give --url such as {INTERNAL}", 2)
    if options.every < _LEAST_EVERY:
        raise Failed(f"--every must be at least {_LEAST_EVERY:g}s: each picture asks all pods", 2)
    try:
        secret = key()
    except ValueError as error:
        raise Failed(str(error), 2) from None
    if not secret:
        raise Failed("there is no key: set FORESTAY_API_KEY to a key that may read, as docs/http-api.md says", 2)
    if not (secret.isascii() and secret.isprintable()):
        raise Failed("FORESTAY_API_KEY has a character in it that no header can hold; give printable ASCII", 2)
    asked, once = Asked(url, secret), options.once or not sys.stdout.isatty()
    asyncio.run(_once(asked, options.by) if once else _again(asked, options.by, options.every))


class Asked:
    """The API of a gateway."""

    def __init__(self, url: str, key: str) -> None:
        self.url = url
        self._key = key

    async def picture(self, by: str) -> Mapping[str, Answer]:
        """All that is shown. Raises Failed where not even the pods can be."""
        headers, limit = {"Authorization": f"Bearer {self._key}"}, aiohttp.ClientTimeout(total=_TIME_LIMIT)
        async with aiohttp.ClientSession(headers=headers, timeout=limit) as session:
            info = await self._get(session, "/v1/info")
            if "refused" in info:
                raise Failed(f"{shown(self.url)}: {info['refused']}")
            paths = {
                "rooms": f"/v1/rooms?by={by}&limit=10",
                "slow": "/v1/slow?limit=10",
                "closes": "/v1/closes?minutes=5",
                "recent": "/v1/recent?limit=10",
            }
            answers = await asyncio.gather(*[self._get(session, path) for path in paths.values()])
        return {"info": info, **dict(zip(paths, answers, strict=True))}

    async def _get(self, session: aiohttp.ClientSession, path: str) -> Answer:
        try:
            async with session.get(self.url + path, allow_redirects=False) as response:
                return _read(path, response.status, await response.read())
        except TimeoutError:
            return {"refused": f"no answer within {_TIME_LIMIT:g} s"}
        except aiohttp.ClientConnectorCertificateError:
            return {"refused": "the certificate of the server is not valid for this machine"}
        except ValueError:
            # Also of a user and a password in it, where the key has its header.
            raise Failed(f"the URL cannot be read; it must look like {INTERNAL}", 2) from None
        except aiohttp.ClientConnectorSSLError:
            return {"refused": "no TLS at this address; is it http:// in place of https://?"}
        except aiohttp.ClientConnectorError as error:
            reason = system_words(error.os_error) or error.os_error.strerror or type(error).__name__
            remedy = "in a cluster, forward the internal port first, as docs/ops.md says"
            return {"refused": f"no answer: {printable(reason).lower()}; {remedy}"}
        except aiohttp.ClientError as error:
            return {"refused": f"the answer broke off or is not HTTP ({type(error).__name__})"}


def _read(path: str, status: int, body: bytes) -> Answer:
    try:
        answer = msgspec.json.decode(body, type=dict[str, Any])
    except (ValueError, RecursionError):
        answer = {}
    # An older release has rooms, and does not say by what they are sorted.
    expected = {"complete", "by"} if path.startswith("/v1/rooms") else {"complete"}
    if status == 200 and expected <= answer.keys():
        return answer
    # What the API refuses, it explains. A path that it does not have is another matter.
    if status >= 400 and status != 404 and "detail" in answer:
        return {"refused": str(answer["detail"])}
    if path == "/v1/info":
        return {"refused": f"what answers there with {status} is no internal port of a gateway; it is usually 9090"}
    if status in (200, 404):
        return {"refused": f"the pod that answers does not know this; its release is older ({status})"}
    return {"refused": f"the pod did not answer this ({status}); its log may say why"}


async def _once(asked: Asked, by: str) -> None:
    picture = await asked.picture(by)
    if by == "traffic" and not picture["rooms"].get("seconds", 1):
        await asyncio.sleep(_COUNTING)
        picture = await asked.picture(by)
    print("\n".join(lines(picture, shown(asked.url), by, time.time())).rstrip())


async def _again(asked: Asked, by: str, every: float) -> None:
    """Draw until `q` is pressed. `s` sorts the rooms otherwise. After an error the next picture may be better."""
    picture = await asked.picture(by)
    with _keys() as keys:
        while True:
            drawn = [*lines(picture, shown(asked.url), by, time.time()), "q: quit   s: sort the rooms otherwise"]
            _draw(drawn)
            try:
                async with asyncio.timeout(every):
                    pressed = await keys.get()
            except TimeoutError:
                pressed = ""
            if pressed in ("q", "\x03", "\x04"):
                return
            if pressed == "s":
                by = _SORTS[1 - _SORTS.index(by)]
            try:
                picture = await asked.picture(by)
            except Failed as failed:
                _draw([*drawn, "", printable(str(failed))])
                await asyncio.sleep(every)


def _draw(drawn: list[str]) -> None:
    size = shutil.get_terminal_size()
    visible = drawn if len(drawn) < size.lines else [*drawn[: size.lines - 2], drawn[-1]]
    text = "".join(f"{line[: size.columns]}{_REST_OF_LINE}\r\n" for line in visible)
    sys.stdout.write(_HOME + text + _REST)
    sys.stdout.flush()


@contextmanager
def _keys() -> Iterator["asyncio.Queue[str]"]:
    """The keys that are pressed, while the terminal shows another screen. It is as before in the end."""
    import termios
    import tty

    keys: asyncio.Queue[str] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    terminal = sys.stdin.fileno() if sys.stdin.isatty() else None
    before = None if terminal is None else termios.tcgetattr(terminal)
    if terminal is not None:
        tty.setcbreak(terminal)
        loop.add_reader(terminal, _read_keys, terminal, keys)
    sys.stdout.write(_BEGIN)
    try:
        yield keys
    finally:
        sys.stdout.write(_END)
        sys.stdout.flush()
        if terminal is not None and before is not None:
            loop.remove_reader(terminal)
            termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _read_keys(terminal: int, keys: "asyncio.Queue[str]") -> None:
    for key in os.read(terminal, 64).decode("ascii", "replace"):
        keys.put_nowait(key)
