"""What is tried with each issuer, in front of a real gateway. Each check returns a verdict of a few words."""

import base64
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import aiohttp

from tests.issuers.issuer import Issuer
from tests.support.gateway import Client, Pod, gateway, upgrade

Check = Callable[[Issuer, Path], Awaitable[str]]

_REGISTERED: Final = ("sub", "aud", "iss", "nbf", "jti", "scope")
_BESIDE: Final = ("alg", "use", "x5c", "x5t")


async def shape(issuer: Issuer, place: Path) -> str:
    """The algorithm, and what else the header says; which of the usual claims there are, and their types."""
    head, claims = (_read(part) for part in (await issuer.token()).split(".")[:2])
    said = [str(head["alg"]), *([f"`typ` {head['typ']}"] if "typ" in head else [])]
    said += ["`kid`"] if "kid" in head else []
    named = [f"`{name}` {_type(claims[name])}" for name in _REGISTERED if name in claims]
    return f"{', '.join(said)}; {', '.join(named)}"


async def published(issuer: Issuer, place: Path) -> str:
    """How many keys the set has, and what it says of the one that signs, beside its parts."""
    if "jwks_url" not in issuer.settings:
        return "a secret"
    head = _read((await issuer.token()).partition(".")[0])
    async with aiohttp.request("GET", str(issuer.settings["jwks_url"])) as response:
        keys = (await response.json(content_type=None))["keys"]
    [key] = [each for each in keys if each["kid"] == head["kid"]]
    beside = [f"`{name}`" for name in _BESIDE if name in key]
    missing = [f"`{name}`" for name in ("alg", "use") if name not in key]
    number = f"{len(keys)} key{'s' if len(keys) > 1 else ''}"
    return ", ".join([number, *beside]) + (f"; no {', no '.join(missing)}" if missing else "")


async def admitted(issuer: Issuer, place: Path) -> str:
    """Whether it gets in with the settings of the page, as whom, and whether its rights are those of the tables."""
    async with gateway(**_given(issuer, place)) as pod:
        return await _told(pod, issuer)


async def changed(issuer: Issuer, place: Path) -> str:
    """Whether the first token of a new key gets in at a gateway that has the old set."""
    if issuer.change_keys is None:
        return "–"
    async with gateway(**_given(issuer, place)) as pod:
        before = await issuer.token()
        assert await _told(pod, issuer) == "yes"
        await issuer.change_keys()
        after = await issuer.token()
        assert _read(before.partition(".")[0])["kid"] != _read(after.partition(".")[0])["kid"]
        return await _told(pod, issuer)


async def odd(issuer: Issuer, place: Path) -> str:
    """What becomes of tokens in the shapes that the page warns of."""
    found = []
    async with gateway(**_given(issuer, place)) as pod:
        for name, token in issuer.odd.items():
            client = await Client.open_or_refused(pod.port, token)
            said = "gets in" if client.status == 101 else _begin(json.loads(client.body)["detail"])
            found.append(f"{name}: {said}")
            await client.close()
    return "; ".join(found) or "–"


CHECKS: Final[Sequence[tuple[str, Check]]] = (
    ("Token", shape),
    ("Key set", published),
    ("Gets in, with its rights", admitted),
    ("After a change of keys", changed),
    ("Other tokens", odd),
)
"""The columns of the table, and what fills them. The keys are changed after the others that read the set."""


def _given(issuer: Issuer, place: Path) -> dict[str, object]:
    file = place / "rooms.toml"
    file.write_text(str(issuer.settings["rooms"]), encoding="utf-8")
    return {name: value for name, value in issuer.settings.items() if name != "rooms"} | {"rooms_file": str(file)}


async def _told(pod: Pod, issuer: Issuer) -> str:
    client = await Client.request(pod.port, upgrade(await issuer.token()))
    if client.status != 101:
        return f"{client.status}: {_begin(json.loads(client.body)['detail'])}"
    user = (await client.hear("welcome"))["payload"]["user"]
    rights = {room: await _rights(client, room) for room in issuer.may}
    await client.close()
    return "yes" if (user, rights) == (issuer.user, dict(issuer.may)) else f"as {user} with {rights}"


async def _rights(client: Client, room: str) -> str:
    """Which of the rights `r` and `w` a client has in a room."""
    found = ""
    for letter, sentence in ("r", {"type": "join"}), ("w", {"type": "broadcast", "payload": 1, "echo": False}):
        if (await client.ask({**sentence, "room": room, "id": letter}))["type"] != "error":
            found += letter
    return found


def _begin(detail: str) -> str:
    """A refusal up to its first semicolon, as code."""
    return f"`{detail.partition(';')[0]}`"


def _type(value: object) -> str:
    return {str: "text", list: "list", int: "number"}.get(type(value), "other")


def _read(part: str) -> Mapping[str, Any]:
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found
