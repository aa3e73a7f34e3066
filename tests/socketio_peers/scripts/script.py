"""The script of script.mjs for python-socketio's asyncio client. It prints what it found as one line of JSON.

python-socketio has no volatile emit, keeps nothing while it is away, and does not know recovery. It connects all
namespaces together.
"""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import socketio
from socketio.exceptions import ConnectionError as Refused

PATIENCE = 8.0
QUIET = 0.3


class Heard:
    """The arguments of each event that came, in order."""

    def __init__(self) -> None:
        self.all: list[tuple[Any, ...]] = []

    def __call__(self, *args: Any) -> None:
        self.all.append(args)

    @property
    def payloads(self) -> list[Any]:
        return [args[0]["payload"] for args in self.all]

    async def first(self, patience: float = PATIENCE) -> tuple[Any, ...] | None:
        return self.all[0] if await until(lambda: bool(self.all), patience) else None


async def until(met: Callable[[], bool], patience: float = PATIENCE) -> bool:
    """Wait until `met` holds, and say whether it does."""
    end = time.monotonic() + patience
    while not met() and time.monotonic() < end:
        await asyncio.sleep(0.01)
    return met()


class Script:
    """The settings, and the clients of one step."""

    def __init__(self, settings: dict[str, Any], web: aiohttp.ClientSession) -> None:
        self.settings = settings
        self._web = web
        self.clients: list[socketio.AsyncClient] = []

    async def control(self, path: str, **query: object) -> str:
        asked = {name: str(value) for name, value in query.items()}
        async with self._web.get(f"{self.settings['control']}/{path}", params=asked) as answer:
            answer.raise_for_status()
            return await answer.text()

    def client(self) -> socketio.AsyncClient:
        made = socketio.AsyncClient(reconnection_delay=0.1, reconnection_delay_max=0.3)
        self.clients.append(made)
        return made

    async def open(
        self, client: socketio.AsyncClient, side: str, user: str, *, kind: str = "good", namespaces: tuple[str, ...]
    ) -> None:
        token = None if kind == "none" else await self.control("token", user=user, kind=kind)
        await client.connect(
            self.settings[side],
            auth=token and {"token": token},
            transports=self.settings["transports"],
            namespaces=list(namespaces),
            wait_timeout=PATIENCE,
        )

    async def connect(self, side: str, user: str, *namespaces: str) -> socketio.AsyncClient:
        client = self.client()
        await self.open(client, side, user, namespaces=namespaces or ("/",))
        return client

    def heard(self, client: socketio.AsyncClient, event: str = "message", namespace: str = "/") -> Heard:
        heard = Heard()
        client.on(event, heard, namespace=namespace)
        return heard

    async def ask(self, client: socketio.AsyncClient, event: str, *args: Any, namespace: str = "/") -> Any:
        return await client.call(event, args if len(args) > 1 else args[0], namespace=namespace, timeout=PATIENCE)

    async def join(self, client: socketio.AsyncClient, room: str, namespace: str = "/") -> None:
        answer = await self.ask(client, "join-room", room, namespace=namespace)
        if not answer["ok"]:
            raise RuntimeError(f"cannot join {room}: {answer['code']}")

    async def say(self, client: socketio.AsyncClient, room: str, payload: Any, namespace: str = "/") -> Any:
        return await self.ask(client, "message", {"room": room, "payload": payload}, namespace=namespace)


async def connect(script: Script) -> Any:
    client = await script.connect("a", "alice")
    await until(lambda: client.transport() == script.settings["transports"][-1], 3)
    return {"transport": client.transport(), "its id is the engine's": client.get_sid("/") == client.eio.sid}


async def refused(script: Script) -> Any:
    found: dict[str, Any] = {}
    for name, namespace in [("none", "/"), ("bad", "/"), ("expired", "/"), ("namespace", "/nowhere")]:
        client = script.client()
        errors = script.heard(client, "connect_error", namespace)
        kind = "good" if name == "namespace" else name
        try:
            await script.open(client, "a", "alice", kind=kind, namespaces=(namespace,))
        except Refused:
            pass
        args = await errors.first(2)
        said = args[0] if args else None
        found[name] = {"message": said if isinstance(said, str) else said and said.get("message")}
        if name != "namespace":
            found[name]["code"] = ((said or {}).get("data") or {}).get("code")
        found[name]["tries again"] = client.connected
    return found


async def acks(script: Script) -> Any:
    alice, carol = await script.connect("a", "alice"), await script.connect("b", "carol")
    return {
        "join": (await script.ask(alice, "join-room", "acks"))["ok"],
        "join as an object": (await script.ask(alice, "join-room", {"room": "acks.2"}))["ok"],
        "message": (await script.say(alice, "acks", 1))["ok"],
        "leave": (await script.ask(alice, "leave-room", "acks"))["ok"],
        "no name": (await script.ask(alice, "join-room", ""))["code"],
        "no right to join": (await script.ask(carol, "join-room", "acks"))["code"],
        "right to read": (await script.ask(carol, "join-room", "news"))["ok"],
        "no right to write": (await script.say(carol, "news", 1))["code"],
    }


async def rooms(script: Script) -> Any:
    alice, bob, carol = [await script.connect(*who) for who in (("a", "alice"), ("b", "bob"), ("b", "carol"))]
    for client in (alice, bob):
        await script.join(client, "rooms")
    own, others, outside = (script.heard(client) for client in (alice, bob, carol))
    for number in range(20):
        await alice.emit("message", {"room": "rooms", "payload": {"number": number}})
    await until(lambda: len(own.all) == 20 and len(others.all) == 20)
    first = others.all[0][0]
    await script.ask(bob, "leave-room", "rooms")
    await script.say(alice, "rooms", "after")
    await script.join(bob, "Küche 7/unten")
    odd = script.heard(bob)
    await script.say(alice, "Küche 7/unten", "odd")
    oddly = await odd.first()
    await asyncio.sleep(QUIET)
    return {
        "first": {name: first[name] for name in ("from", "room", "payload")},
        "in order": all(one["number"] == at for at, one in enumerate(others.payloads[:20])),
        "the sender hears": sum(one != "after" for one in own.payloads),
        "another name": oddly and {name: oddly[0][name] for name in ("room", "payload")},
        "after leaving": "after" in others.payloads,
        "outside hears": len(outside.all),
    }


async def news(script: Script) -> Any:
    alice = await script.connect("a", "alice")
    await script.join(alice, "lobby")
    bob = await script.connect("b", "bob")
    joined, left = script.heard(alice, "user-joined"), script.heard(alice, "user-left")
    await script.join(bob, "lobby")
    arrival = await joined.first()
    await script.ask(bob, "leave-room", "lobby")
    departure = await left.first()
    await script.join(bob, "lobby")
    lost = script.heard(alice, "user-left")
    await bob.disconnect()
    loss = await lost.first()

    def seen(args: tuple[Any, ...] | None) -> Any:
        return args and {name: args[0].get(name) for name in ("userId", "room")}

    return {"joined": seen(arrival), "left": seen(departure), "after a disconnect": seen(loss)}


async def events(script: Script) -> Any:
    alice, bob = await script.connect("a", "alice"), await script.connect("b", "bob")
    await script.join(bob, "chat.7")
    heard = script.heard(bob, "chat message")
    ack = await script.ask(alice, "chat message", 7, "zoë 😀", None, {"a": [1, 2.5]}, *[True])
    try:
        answer = (await alice.call("no rule", 1, timeout=1))["code"]
    except socketio.exceptions.TimeoutError:
        answer = "no answer"
    return {"args": await heard.first(), "ack": ack["ok"], "without a rule": answer}


async def binary(script: Script) -> Any:
    alice, bob = await script.connect("a", "alice"), await script.connect("b", "bob")
    for room in ("binary", "chat.8"):
        await script.join(bob, room)
    data = bytes([0, 1, 127, 128, 255])
    found: dict[str, Any] = {}
    for name, payload in (("payload", data), ("empty payload", b"")):
        heard = script.heard(bob)
        ack = await script.say(alice, "binary", payload)
        args = await heard.first()
        found[name] = {"ack": ack["ok"], "heard": args and args[0]["payload"].hex()}
    heard = script.heard(bob)
    await script.say(alice, "binary", {"name": "a.bin", "parts": [data, {"deep": b"\x09"}]})
    args = await heard.first()
    nested = args and args[0]["payload"]
    found["nested"] = nested and [nested["name"], nested["parts"][0].hex(), nested["parts"][1]["deep"].hex()]
    chat = script.heard(bob, "chat message")
    ack = await script.ask(alice, "chat message", 8, data, {"file": b"\x07\x08"})
    args = await chat.first()
    found["event"] = args and {"ack": ack["ok"], "args": [args[0], args[1].hex(), args[2]["file"].hex()]}
    return found


async def namespaces(script: Script) -> Any:
    alice = await script.connect("a", "alice", "/", "/admin")
    bob = await script.connect("b", "bob", "/", "/admin")
    for namespace in ("/", "/admin"):
        await script.join(alice, "same", namespace)
    main, apart = script.heard(alice), script.heard(alice, namespace="/admin")
    await script.say(bob, "same", "main")
    await script.say(bob, "same", "admin", "/admin")
    await until(lambda: bool(main.all and apart.all))
    await asyncio.sleep(QUIET)
    ids = alice.get_sid("/") != alice.get_sid("/admin")
    # The client has no call that leaves one of its namespaces.
    await script.say(bob, "same", "still")
    await until(lambda: "still" in main.payloads)
    return {"ids differ": ids, "main": main.payloads, "admin": apart.payloads, "the other stays": alice.connected}


async def reconnect(script: Script) -> Any:
    alice, bob = await script.connect("a", "alice"), await script.connect("b", "bob")
    await script.join(alice, "live")
    heard, gone, back = script.heard(alice), script.heard(alice, "disconnect"), script.heard(alice, "connect")
    before = alice.get_sid("/")
    await script.control("cut", side="a", to=1)
    left = await gone.first()
    returned = await back.first() is not None
    await script.say(bob, "live", "later")
    await asyncio.sleep(QUIET)
    kept = len(heard.all) == 1
    if not kept:
        await script.join(alice, "live")
    await script.say(bob, "live", "joined again")
    again = await until(lambda: "joined again" in heard.payloads)
    same = alice.get_sid("/") == before
    return {"reason": left and left[0], "returned": returned, "same id": same, "rooms kept": kept, "again": again}


async def backend(script: Script) -> Any:
    bob = await script.connect("b", "bob")
    await script.join(bob, "backend")
    heard = script.heard(bob, "price")
    await script.control("emit", room="backend", event="price", args=json.dumps(["ACME", {"bid": 1.5}]))
    return {"args": await heard.first()}


async def too_large(script: Script) -> Any:
    alice = await script.connect("a", "alice")
    await until(lambda: alice.transport() == script.settings["transports"][-1], 3)
    gone, back = script.heard(alice, "disconnect"), script.heard(alice, "connect")
    await alice.emit("message", {"room": "large", "payload": "x" * 100_000})
    left = await gone.first()
    # Either reason, as the answer or the reset comes first.
    ends = left is not None and left[0] in ("transport close", "transport error")
    return {"transport ends": ends, "returned": await back.first() is not None}


async def disconnected_by_the_server(script: Script) -> Any:
    dave = await script.connect("a", "dave")
    gone, back = script.heard(dave, "disconnect"), script.heard(dave, "connect")
    await script.control("disconnect", user="dave")
    left = await gone.first()
    return {"reason": left and left[0], "returned": await back.first(1.5) is not None, "tries again": dave.connected}


async def disconnected_by_the_client(script: Script) -> Any:
    alice = await script.connect("a", "alice")
    gone = script.heard(alice, "disconnect")
    await alice.disconnect()
    left = await gone.first()
    await script.open(alice, "a", "alice", namespaces=("/",))
    return {"reason": left and left[0], "connect() returns": alice.connected}


async def a_node_stops(script: Script) -> Any:
    alice, bob = await script.connect("a", "alice"), await script.connect("b", "bob")
    await until(lambda: alice.transport() == script.settings["transports"][-1], 3)
    gone, back = script.heard(alice, "disconnect"), script.heard(alice, "connect")
    await script.control("stop", side="a", to=2)
    left = await gone.first()
    since = time.monotonic()
    returned = await back.first() is not None
    soon = time.monotonic() - since < 3
    return {
        "reason": left and left[0],
        "returned": returned,
        "within 3 s": soon,
        "the other node's client stays": bob.connected,
    }


STEPS: dict[str, Callable[[Script], Awaitable[Any]]] = {
    "connect": connect,
    "refused": refused,
    "acks": acks,
    "rooms": rooms,
    "news": news,
    "events": events,
    "binary": binary,
    "namespaces": namespaces,
    "reconnect": reconnect,
    "backend": backend,
    "too large": too_large,
    "disconnected by the server": disconnected_by_the_server,
    "disconnected by the client": disconnected_by_the_client,
    "a node stops": a_node_stops,
}


async def main() -> None:
    """Run all steps, or those that are named."""
    settings = json.loads(sys.argv[1])
    found: dict[str, Any] = {}
    async with aiohttp.ClientSession() as web:
        for name, step in STEPS.items():
            if name not in settings.get("steps", STEPS):
                continue
            script = Script(settings, web)
            try:
                found[name] = await asyncio.wait_for(step(script), 60)
            except Exception as error:  # noqa: BLE001 - whatever happens is what this client sees
                found[name] = {"failed": f"{type(error).__name__}: {error}"}
            for client in script.clients:
                await client.shutdown()
    print(json.dumps(found))


if __name__ == "__main__":
    asyncio.run(main())
