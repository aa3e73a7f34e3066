"""Checks both ports: free for a gateway that starts, or answered by one that runs."""

import asyncio
import json
import re
from typing import Final

from forestay.edge.listening.listener import CannotListen, check_free
from forestay.pod.diagnosis.findings import Finding, fail, ok, warn
from forestay.protocol.codes import ErrorCode
from forestay.settings.secrets import variable_of
from forestay.settings.settings import Settings

# Where a gateway that listens on all addresses is reached from its own machine.
_HERE: Final = {"0.0.0.0": "127.0.0.1", "*": "127.0.0.1", "::": "127.0.0.1"}  # noqa: S104 - a name in a table
_LARGEST: Final = 65536


async def check_port(settings: Settings, name: str, within: float) -> Finding:
    """Check the port of the setting `name`: `port` or `internal_port`. `within`: seconds."""
    port: int = getattr(settings, name)
    check = "public" if name == "port" else "internal"
    if not port:
        return await _free(settings, check, port)
    try:
        answer = await asyncio.wait_for(_ask(settings, port, internal=name == "internal_port"), within)
    except (TimeoutError, ValueError, RecursionError):
        # First, because TimeoutError is an OSError too.
        answer = None
    except OSError:
        return await _free(settings, check, port)
    if answer is None:
        return fail(
            check, f"port {port} is taken by something that is no gateway", f"stop it, or change {variable_of(name)}"
        )
    failing = answer.get("failing")
    if isinstance(failing, list) and failing:
        return warn(
            check,
            f"a gateway answers on port {port}, and is not ready: {', '.join(str(each)[:100] for each in failing)}",
            f"GET /readyz on port {port} has the reasons",
        )
    return ok(check, f"a gateway answers on port {port}")


async def _free(settings: Settings, check: str, port: int) -> Finding:
    try:
        await check_free(settings.host, port)
    except CannotListen as error:
        return fail(check, str(error))
    return ok(check, f"port {port} is free" if port else "any free port will do")


async def _ask(settings: Settings, port: int, *, internal: bool) -> dict[str, object] | None:
    """What a gateway says of itself there; None where it is none. Raises OSError where nothing listens."""
    host = _HERE.get(settings.host, settings.host)
    path = "/readyz" if internal else f"{settings.path_prefix}/ws"
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n".encode())
        data = bytearray()
        while len(data) < _LARGEST and (chunk := await reader.read(_LARGEST)):
            data += chunk
    except ConnectionError:
        return None
    finally:
        writer.close()
    head, _, body = bytes(data).partition(b"\r\n\r\n")
    if not re.match(rb"HTTP/1\.1 \d{3} ", head):
        return None
    said = json.loads(body)
    if not isinstance(said, dict):
        return None
    # A probe has a state. The public port explains each refusal with a code; the internal one has no such path.
    there = "state" in said if internal else said.get("code") not in (None, ErrorCode.NOT_FOUND)
    return said if there else None
