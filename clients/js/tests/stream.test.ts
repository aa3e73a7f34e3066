// Event streams in place of WebSockets: when they are taken, and for how long. What travels on them is in the scenarios.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { type WebSocket, WebSocketServer } from "ws";
import { stream } from "../src/stream.js";
import { make, until } from "./client.js";
import { WELCOME } from "./gateway.js";

let server: Server;
let sockets: WebSocketServer;
let url: string;
/** What a plain GET is answered with. */
let plain: [number, string, string];
/** Until when it is not answered. */
let held: Promise<void> | undefined;
/** How an upgrade is answered; undefined lets it in. */
let upgrade: string | undefined;
let came: string[];
/** Streams that are not to be had yet. */
let broken: number;
let opened: (WebSocket | ServerResponse)[];

const welcome = JSON.stringify({ type: "welcome", payload: WELCOME });
const ACCEPTED = [426, "application/problem+json", '{"status":426,"code":"bad_message"}'] as [number, string, string];

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (request.url!.startsWith("/stream")) {
    came.push("stream");
    if (broken-- > 0) return void response.writeHead(502).end();
    opened.push(response);
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    response.write(`retry: 100\ndata: ${welcome}\n\n:\n`);
  } else {
    came.push("GET");
    await held;
    response.writeHead(plain[0], { "Content-Type": plain[1], Connection: "close" });
    response.end(plain[2]);
  }
}

beforeEach(async () => {
  plain = ACCEPTED;
  held = undefined;
  upgrade = "403 Forbidden\r\nContent-Type: text/html";
  came = [];
  broken = 0;
  opened = [];
  server = createServer(answer);
  sockets = new WebSocketServer({ noServer: true });
  server.on("upgrade", (request, socket, head) => {
    came.push("upgrade");
    if (upgrade) return void socket.end(`HTTP/1.1 ${upgrade}\r\nContent-Length: 0\r\n\r\n`);
    sockets.handleUpgrade(request, socket, head, (ws) => {
      opened.push(ws);
      ws.send(welcome);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `ws://127.0.0.1:${(server.address() as AddressInfo).port}/ws`;
});

afterEach(() => {
  for (const socket of sockets.clients) socket.terminate();
  server.closeAllConnections();
  server.close();
});

const both = { transports: ["websocket", stream] as ("websocket" | typeof stream)[], maxDelay: 50 };

describe("the option", () => {
  test("a name in place of what is imported is a clear error", () => {
    const client = make({ transports: ["websocket", "stream" as never] }, url);
    expect(() => client.connect()).toThrow("no stream is imported");
  });

  test("streams alone need no WebSocket class", async () => {
    const client = make({ transports: [stream], WebSocket: undefined }, url);
    client.connect();
    await client.ready();
    expect(came).toEqual(["stream"]);
  });

  test("streams that are not asked for are not taken", async () => {
    const client = make({ maxDelay: 50 }, url);
    client.connect();
    await until(() => came.length > 6);
    expect(came).not.toContain("stream");
  });
});

test("a client comes back to WebSockets later, and stays with them", async () => {
  const client = make(both, url);
  client.connect();
  await client.ready();
  expect(came.filter((what) => what !== "GET")).toEqual(["upgrade", "upgrade", "stream"]);
  upgrade = undefined;
  came = [];
  (opened.pop() as ServerResponse).destroy();
  await until(() => opened.length === 1 && client.state === "connected");
  expect(came).toEqual(["stream"]);
  const now = Date.now();
  vi.spyOn(Date, "now").mockImplementation(() => now + 601_000);
  came = [];
  (opened.pop() as ServerResponse).destroy();
  await until(() => opened.length === 1 && client.state === "connected");
  expect(came).toEqual(["upgrade"]);
  vi.restoreAllMocks();
});

test("a client that falls back again stays for longer", async () => {
  vi.spyOn(Math, "random").mockReturnValue(0);
  const client = make(both, url);
  client.connect();
  await client.ready();
  const start = Date.now();
  for (const [after, hasTried] of [
    [290_000, false],
    [310_000, true],
    [310_000 + 590_000, false],
    [310_000 + 610_000, true],
  ] as [number, boolean][]) {
    vi.spyOn(Date, "now").mockImplementation(() => start + after);
    came = [];
    (opened.pop() as ServerResponse).destroy();
    await until(() => opened.length === 1 && client.state === "connected");
    expect([after, came.includes("upgrade")]).toEqual([after, hasTried]);
  }
  vi.restoreAllMocks();
});

test("where somebody else answers the plain GET, a stream that works is the proof", async () => {
  plain = [403, "text/html", "<h1>blocked</h1>"];
  const client = make({ ...both, WebSocket: (await import("ws")).WebSocket }, url);
  client.connect();
  await client.ready();
  expect(came).toEqual(["upgrade", "GET", "stream"]);
});

test.each(["403 Forbidden\r\nContent-Type: text/html", "400 Bad Request\r\nContent-Type: application/problem+json"])(
  "where a stream cannot be had for now, a client that a proxy keeps from WebSockets comes back: %s",
  async (refusal) => {
    upgrade = refusal;
    broken = 1;
    const client = make({ ...both, WebSocket: (await import("ws")).WebSocket }, url);
    client.connect();
    await client.ready();
    expect(came.filter((what) => what === "stream").length).toBe(2);
    expect(came.at(-1)).toBe("stream");
  },
);

test("a status of a proxy that is seen is enough, and one of the gateway is not", async () => {
  upgrade = "503 Service Unavailable\r\nContent-Type: application/problem+json\r\nRetry-After: 0";
  const client = make({ ...both, WebSocket: (await import("ws")).WebSocket }, url);
  client.connect();
  await until(() => came.filter((what) => what === "upgrade").length === 1);
  upgrade = undefined;
  await client.ready();
  expect(came).not.toContain("stream");
});

test("a client that disconnects while it asks opens no stream", async () => {
  let answered = () => {};
  held = new Promise((resolve) => {
    answered = resolve;
  });
  const client = make({ ...both, WebSocket: (await import("ws")).WebSocket }, url);
  client.connect();
  await until(() => came.includes("GET"));
  client.disconnect();
  answered();
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect(came).toEqual(["upgrade", "GET"]);
});
