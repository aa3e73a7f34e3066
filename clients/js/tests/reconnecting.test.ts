// The WebSocket that comes back by itself, in place of a plain one.

import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { WebSocket as Ws } from "ws";
import { type ReconnectingOptions, ReconnectingWebSocket } from "../src/reconnecting.js";
import { Gateway } from "./gateway.js";

let gateway: Gateway;
const sockets: ReconnectingWebSocket[] = [];

beforeEach(async () => {
  gateway = await Gateway.open();
});

afterEach(() => {
  for (const socket of sockets.splice(0)) socket.close();
  gateway.close();
  vi.useRealTimers();
});

function open(options: ReconnectingOptions = {}): ReconnectingWebSocket {
  const socket = new ReconnectingWebSocket(gateway.url, "forestay.v1", { baseDelay: 5, ...options });
  sockets.push(socket);
  return socket;
}

const next = <T extends keyof WebSocketEventMap>(socket: ReconnectingWebSocket, type: T) =>
  new Promise<WebSocketEventMap[T]>((resolve) => socket.addEventListener(type, resolve, { once: true }));

test.each([
  ["the global class", {}],
  ["ws", { WebSocket: Ws }],
])("it looks like a WebSocket: %s", async (_, options) => {
  const socket = open(options);
  socket.binaryType = "arraybuffer";
  expect(socket.readyState).toBe(socket.CONNECTING);
  expect(() => socket.send("too early")).toThrow();
  const peer = await gateway.connected();
  await next(socket, "open");
  expect(socket).toMatchObject({ readyState: WebSocket.OPEN, url: gateway.url, extensions: "", bufferedAmount: 0 });
  expect(socket.protocol).toBe("forestay.v1");

  const heard: unknown[] = [];
  socket.onmessage = ({ data }) => heard.push(data);
  socket.addEventListener("message", (event) => heard.push(event instanceof MessageEvent));
  peer.socket.send("text");
  peer.socket.send(Buffer.from([1, 2]));
  socket.send('{"type": "x"}');
  await peer.hear("x");
  await vi.waitFor(() => expect(heard).toHaveLength(4));
  expect([heard[0], new Uint8Array(heard[2] as ArrayBuffer), heard[1]]).toEqual(["text", new Uint8Array([1, 2]), true]);

  socket.close(4000, "enough");
  expect(socket.readyState).toBe(socket.CLOSING);
  expect(await next(socket, "close")).toMatchObject({ code: 4000, wasClean: true });
  expect(socket.readyState).toBe(socket.CLOSED);
});

test.each([
  [1001, 0],
  [1000, 3],
  [4403, 3],
  [1006, 0],
])("after close %i it is in state %i", async (code, state) => {
  const socket = open({ baseDelay: 60_000 });
  const peer = await gateway.connected();
  await next(socket, "open");
  if (code === 1006) peer.socket.terminate();
  else peer.socket.close(code);
  expect(await next(socket, "close")).toMatchObject({ code });
  expect(socket.readyState).toBe(state);
  socket.close();
  expect(socket.readyState).toBe(socket.CLOSED);
});

test("closed before it was open, it is closed for good", async () => {
  const socket = open();
  expect(() => socket.close(1001)).toThrow();
  const closed = next(socket, "close");
  socket.close();
  await closed;
  expect(socket.readyState).toBe(socket.CLOSED);
});

test("it comes back, with the listeners that it had", async () => {
  const socket = open();
  const heard: unknown[] = [];
  socket.onmessage = ({ data }) => heard.push(data);
  (await gateway.connected()).socket.close(1001);
  const peer = await gateway.connected();
  peer.socket.send("again");
  await vi.waitFor(() => expect(heard).toEqual(["again"]));
});

test("delays double up to the longest, are jittered, and begin anew after it was open", async () => {
  const waits: number[] = [];
  const timer = vi.spyOn(globalThis, "setTimeout").mockImplementation(((work: () => void, ms: number) => {
    waits.push(ms);
    queueMicrotask(work);
  }) as never);
  const random = vi.spyOn(Math, "random").mockReturnValue(1);
  class Stub extends EventTarget {
    static made: Stub[] = [];
    onopen!: () => void;
    onclose!: (event: object) => void;
    constructor() {
      super();
      Stub.made.push(this);
    }
    close() {}
  }
  const socket = new ReconnectingWebSocket("ws://x", [], { maxRetries: 3, maxDelay: 3_000, WebSocket: Stub });
  const lose = async () => {
    Stub.made.at(-1)!.onclose({ code: 1006, reason: "", wasClean: false });
    await undefined;
  };
  for (let time = 0; time < 3; time++) await lose();
  Stub.made.at(-1)!.onopen();
  await lose();
  random.mockReturnValue(0);
  await lose();
  expect(waits).toEqual([1_300, 2_600, 3_900, 1_300, 1_400]);
  await lose();
  await lose();
  expect(socket.readyState).toBe(socket.CLOSED);
  timer.mockRestore();
  random.mockRestore();
});
