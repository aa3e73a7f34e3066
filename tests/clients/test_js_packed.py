"""The packed JavaScript client works in every kind of project, with a real gateway."""

import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.browser import DevGateway, chromium, dev_gateway, launched, token
from tests.support.node import node, run, tool

pytestmark = pytest.mark.timeout(120)

TALK = """
async function talk(Client, url, token) {
  const client = new Client(url, { getToken: () => token });
  client.connect();
  await client.ready();
  const room = client.room("chat.lobby");
  await room.join();
  const heard = new Promise((resolve) => room.on("message", resolve));
  await room.publish({ text: "hello" });
  const { payload, from } = await heard;
  client.disconnect();
  return `${from}: ${payload.text}`;
}
"""
RUN = "talk(Client, ...process.argv.slice(2)).then(console.log);"
TYPED = """
import { Client, type Message, RefusedError, UnknownOutcomeError, verdictOf, type Verdict } from "forestay";
import { ReconnectingWebSocket } from "forestay/reconnecting";
import { stream } from "forestay/stream";

interface Chat {
  text: string;
}

async function talk(url: string, token: string): Promise<string> {
  const client = new Client(url, { getToken: async () => token, timeout: 5_000, transports: ["websocket", stream] });
  // @ts-expect-error It has to be imported.
  void (() => new Client(url, { getToken: () => token, transports: ["websocket", "stream"] }));
  client.on("state", ({ state, code }) => void (state satisfies string, code satisfies number | undefined));
  client.connect();
  await client.ready();
  const room = client.room<Chat>("chat.lobby");
  room.on("joined", ({ recovered }) => void (recovered satisfies boolean | undefined));
  // @ts-expect-error There is no such event.
  room.on("massage", () => {});
  await room.join();
  const reading = (async (): Promise<Message<Chat>> => {
    for await (const message of room) return message;
    throw new Error("left");
  })();
  try {
    const { offset } = await room.publish({ text: "hello" }, { echo: true });
    void (offset satisfies number | undefined);
    // @ts-expect-error That is no Chat.
    void ((wrong: string) => room.publish(wrong));
  } catch (error) {
    if (error instanceof RefusedError) void (error.retryAfter satisfies number | undefined);
    if (error instanceof UnknownOutcomeError) void (error.key satisfies string | undefined);
    throw error;
  }
  const { payload, from } = await reading;
  client.disconnect();
  return `${from}: ${payload.text}`;
}

const verdict: Verdict = verdictOf(1001);
void [verdict, (): WebSocket["onmessage"] => new ReconnectingWebSocket("ws://x").onmessage];
talk(process.argv[2]!, process.argv[3]!).then(console.log);
"""
HOOKS = """
import { createElement, type ReactElement } from "react";
import { renderToString } from "react-dom/server";
import { Client } from "forestay";
import { ForestayProvider, useClient, useConnection, usePresence, useRoom } from "forestay/react";

interface Chat {
  text: string;
}

function Talk(): ReactElement {
  const { messages, publish, room, state } = useRoom<Chat>("chat.lobby", { history: 10, limit: 50 });
  void [messages[0]?.payload.text satisfies string | undefined, room?.name, useClient() satisfies Client];
  void (() => publish({ text: "hello" }, { key: "1" }));
  // @ts-expect-error That is no Chat.
  void (() => publish("hello"));
  // @ts-expect-error There is no such option.
  void (() => useRoom("a", { hist: 10 }));
  const { members, users } = usePresence(null);
  return createElement("p", null, [useConnection().state, state, members.length, users].join(" "));
}

const client = new Client("ws://localhost/ws", { getToken: () => "" });
console.log(renderToString(createElement(ForestayProvider, { client }, createElement(Talk))));
"""
COMPILER = {
    "target": "ES2022",
    "module": "NodeNext",
    "strict": True,
    "noUncheckedIndexedAccess": True,
    "exactOptionalPropertyTypes": True,
    # This checks our declaration files too.
    "skipLibCheck": False,
    "types": [],
}


@pytest.fixture
async def gateway() -> AsyncIterator[DevGateway]:
    async with dev_gateway() as running:
        yield running


def _talks(program: Path, gateway: DevGateway) -> bool:
    return (
        run(node(), program, f"ws://127.0.0.1:{gateway.port}/ws", token("alice"), cwd=program.parent)
        == "alice: hello\n"
    )


async def test_it_is_imported(project: Path, gateway: DevGateway) -> None:
    """An ECMAScript module in Node joins, publishes and receives."""
    program = project / "program.mjs"
    program.write_text(f'import {{ Client }} from "forestay";{TALK}{RUN}', encoding="utf-8")
    assert _talks(program, gateway)


async def test_it_is_required(project: Path, gateway: DevGateway) -> None:
    """A CommonJS module in Node joins, publishes and receives."""
    program = project / "program.cjs"
    program.write_text(f'const {{ Client }} = require("forestay");{TALK}{RUN}', encoding="utf-8")
    assert _talks(program, gateway)


@pytest.mark.parametrize("kind", ["mts", "cts"])
async def test_its_types_are_those_of_its_code(project: Path, gateway: DevGateway, kind: str) -> None:
    """TypeScript accepts correct calls and refuses wrong ones, and the compiled program works."""
    program = project / f"program.{kind}"
    # The globals of Node that the program uses. The package itself needs only those of the DOM.
    program.write_text(f"declare const process: {{ argv: string[] }};{TYPED}", encoding="utf-8")
    options = {"compilerOptions": COMPILER, "files": [program.name]}
    config = project / f"tsconfig.{kind}.json"
    config.write_text(json.dumps(options), encoding="utf-8")
    tool("tsc", "-p", config, cwd=project)
    assert _talks(program.with_suffix(f".{kind.replace('t', 'j', 1)}"), gateway)


async def test_its_hooks_render_on_a_server_and_have_types(js: Path, project: Path, tmp_path: Path) -> None:
    """With React beside it, `forestay/react` is imported and required, and renders; TypeScript refuses wrong calls."""
    modules = tmp_path / "node_modules"
    # A copy: React is looked for beside the package, where the other tests have none.
    shutil.copytree(project / "node_modules" / "forestay", modules / "forestay")
    (modules / "@types").mkdir()
    for name in ("react", "react-dom", "@types/react", "@types/react-dom", "csstype"):
        (modules / name).symlink_to(js / "node_modules" / name)
    program = tmp_path / "program.mts"
    program.write_text(HOOKS, encoding="utf-8")
    config = tmp_path / "tsconfig.json"
    config.write_text(json.dumps({"compilerOptions": COMPILER, "files": [program.name]}), encoding="utf-8")
    tool("tsc", "-p", config, cwd=tmp_path)
    assert run(node(), program.with_suffix(".mjs"), cwd=tmp_path) == "<p>connecting joining 0 0</p>\n"
    required = "const { useRoom } = require('forestay/react'); console.log(typeof useRoom)"
    assert run(node(), "-e", required, cwd=tmp_path) == "function\n"
    # Frameworks with server components have to know that these are for the browser.
    assert (modules / "forestay/dist/react.js").read_text(encoding="utf-8").startswith('"use client";')


@pytest.mark.skipif(chromium() is None, reason="no Chromium: name one in CHROMIUM, or install it")
async def test_a_page_loads_it_with_a_script_tag(project: Path, gateway: DevGateway) -> None:
    """A script tag gives one global that works in a real browser."""
    path = chromium()
    assert path is not None
    async with launched(path) as browser:
        # The gateway's own page, because pages of other origins may not connect. Its policy forbids foreign scripts.
        page = await browser.new_page(bypass_csp=True)
        await page.goto(gateway.page)
        await page.add_script_tag(path=project / "node_modules/forestay/dist/forestay.iife.js")
        url = f"ws://127.0.0.1:{gateway.port}/ws"
        run_it = f"([url, token]) => {{ {TALK} return talk(Forestay.Client, url, token); }}"
        shown = await page.evaluate(run_it, [url, token("alice")])
    assert shown == "alice: hello"
