// The WebSocket that comes back by itself, in place of a plain one.

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { WebSocket as Ws } from "ws";
import { UnauthorizedError } from "../src/index.js";
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

describe("without a server", () => {
  /** A class whose sockets do what a test says. */
  class Stub {
    static made: Stub[] = [];
    readyState = 0;
    protocol = "";
    onopen!: () => void;
    onerror!: () => void;
    onclose!: (event: object) => void;
    constructor(
      readonly url: string,
      readonly protocols: string[],
    ) {
      Stub.made.push(this);
    }
    static get last(): Stub {
      return Stub.made.at(-1)!;
    }
    /** As a gateway that lets in. */
    accept(): void {
      this.readyState = 1;
      this.onopen();
    }
    end(code: number): void {
      this.readyState = 3;
      this.onclose({ code, reason: "", wasClean: code !== 1006 });
    }
    close(): void {
      this.readyState = 2;
    }
  }

  beforeEach(() => {
    vi.useFakeTimers();
    Stub.made = [];
  });

  type Given = ConstructorParameters<typeof ReconnectingWebSocket>;

  function stubbed(url: Given[0] = "ws://x", protocols: Given[1] = [], options: ReconnectingOptions = {}) {
    const socket = new ReconnectingWebSocket(url, protocols, { jitterFactor: 0, WebSocket: Stub, ...options });
    sockets.push(socket);
    const heard: string[] = [];
    for (const type of ["open", "error", "close"]) {
      socket.addEventListener(type, (event) => {
        const { code = "", message = "" } = event as unknown as { code?: number; message?: string };
        heard.push(`${type} ${code}${message}`.trim());
      });
    }
    return { socket, heard };
  }

  /** Milliseconds until the next connection is tried. */
  async function wait(): Promise<number> {
    const begun = Date.now();
    const { length } = Stub.made;
    while (Stub.made.length === length) {
      await vi.advanceTimersToNextTimerAsync();
      if (Date.now() - begun > 60_000) throw new Error("there is no next one");
    }
    return Date.now() - begun;
  }

  test("delays double up to the longest, and are jittered", async () => {
    const random = vi.spyOn(Math, "random").mockReturnValue(1);
    const { socket, heard } = stubbed("ws://x", [], { maxRetries: 3, maxDelay: 3_000, jitterFactor: 0.3 });
    const waits: number[] = [];
    for (const drawn of [1, 1, 0]) {
      random.mockReturnValue(drawn);
      Stub.last.end(1006);
      waits.push(await wait());
    }
    expect(waits).toEqual([1_300, 2_600, 2_100]);
    Stub.last.end(1006);
    expect(socket.readyState).toBe(socket.CLOSED);
    expect(heard.slice(-2)).toEqual(["error 3 returns have failed", "close 1006"]);
    random.mockRestore();
  });

  test("a server that accepts and closes is left alone more and more, and in the end for good", async () => {
    const { socket, heard } = stubbed();
    const waits: number[] = [];
    for (let time = 0; time < 10; time++) {
      Stub.last.accept();
      await vi.advanceTimersByTimeAsync(9_999);
      Stub.last.end(1001);
      waits.push(await wait());
    }
    expect(waits).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000, 30_000, 30_000]);
    Stub.last.accept();
    Stub.last.end(1001);
    expect(socket.readyState).toBe(socket.CLOSED);
    expect(heard.slice(-2)).toEqual(["error 10 returns have failed", "close 1001"]);
  });

  test("after a connection that has lasted, delays begin anew", async () => {
    stubbed("ws://x", [], { minUptime: 5_000 });
    const waits: number[] = [];
    for (const uptime of [0, 4_999, 5_000, 0]) {
      Stub.last.accept();
      await vi.advanceTimersByTimeAsync(uptime);
      Stub.last.end(1006);
      waits.push(await wait());
    }
    expect(waits).toEqual([1_000, 2_000, 1_000, 2_000]);
  });

  test("an error without a close is a close, and one with a close is one only", async () => {
    const { socket, heard } = stubbed();
    Stub.last.onerror();
    expect(await wait()).toBe(1_000);
    Stub.last.readyState = 3;
    Stub.last.onerror();
    await vi.advanceTimersByTimeAsync(10);
    Stub.last.end(1006);
    expect(await wait()).toBe(2_000);
    expect(heard).toEqual(["error", "close 1006", "error", "close 1006"]);
    socket.close();
    await vi.advanceTimersByTimeAsync(0);
    expect([socket.readyState, heard.slice(4)]).toEqual([socket.CLOSED, ["close 1006"]]);
  });

  test("the code 0 of Deno is 1006", async () => {
    const { heard } = stubbed();
    Stub.last.end(0);
    expect([heard, await wait()]).toEqual([["close 1006"], 1_000]);
  });

  test("what does not open in time is given up, and what comes of it later is not heard", async () => {
    const { heard } = stubbed("ws://x", [], { connectTimeout: 3_000 });
    expect(await wait()).toBe(4_000);
    const [late] = Stub.made;
    expect(late!.readyState).toBe(2);
    late!.onerror();
    late!.end(1006);
    late!.onopen();
    Stub.last.accept();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(heard).toEqual(["error not open in time", "close 1006", "open"]);
  });

  test("functions are called before each connection", async () => {
    let count = 0;
    const { socket } = stubbed(
      async () => `ws://x/${++count}`,
      () => [`token-${count}`],
    );
    expect([socket.readyState, socket.url, socket.protocol, socket.bufferedAmount]).toEqual([0, "", "", 0]);
    expect(() => socket.send("too early")).toThrow();
    for (const time of [1, 2]) {
      await vi.waitFor(() => expect(Stub.made).toHaveLength(time));
      expect([Stub.last.url, Stub.last.protocols]).toEqual([`ws://x/${time}`, [`token-${time}`]]);
      Stub.last.end(1006);
      await wait();
    }
  });

  test("a function that throws, hangs or gives a bad URL is a connection that failed", async () => {
    const given = vi.fn<() => string | Promise<string>>(() => "ws://x");
    given.mockImplementationOnce(() => {
      throw new Error("no network");
    });
    given.mockImplementationOnce(() => new Promise(() => {}));
    given.mockImplementationOnce(() => "nonsense with a secret");
    class Strict extends Stub {
      constructor(url: string, protocols: string[]) {
        new URL(url);
        super(url, protocols);
      }
    }
    const { socket, heard } = stubbed(given, [], { WebSocket: Strict });
    const errors: unknown[] = [];
    socket.onerror = (event) => errors.push((event as ErrorEvent).error?.message);
    expect(await wait()).toBe(1_000 + 10_000 + 2_000 + 4_000);
    expect(errors).toEqual(["no network", undefined, undefined]);
    const said = ["no URL or no protocols", "not open in time", "WebSocket: TypeError"];
    expect(heard).toEqual(said.flatMap((message) => [`error ${message}`, "close 1006"]));
  });

  test("closed while a function is awaited, it is closed for good", async () => {
    let answer = (_: string): void => {};
    const { socket, heard } = stubbed(() => new Promise<string>((resolve) => (answer = resolve)));
    socket.close();
    answer("ws://x");
    await vi.advanceTimersByTimeAsync(60_000);
    expect([socket.readyState, heard, Stub.made]).toEqual([socket.CLOSED, ["close 1000"], []]);
  });

  test("4401 brings it back once where functions can give a new token", async () => {
    const { socket, heard } = stubbed("ws://x", () => ["token"]);
    await vi.advanceTimersByTimeAsync(0);
    for (let time = 0; time < 2; time++) {
      Stub.last.accept();
      await vi.advanceTimersByTimeAsync(10_000);
      Stub.last.end(4401);
      expect([socket.readyState, await wait()]).toEqual([socket.CONNECTING, 1_000]);
    }
    Stub.last.accept();
    Stub.last.end(4401);
    expect(socket.readyState).toBe(socket.CLOSED);
    expect(heard.slice(-2)).toEqual(["error close code 4401 again, with a new token", "close 4401"]);
  });

  test.each([
    [4401, "close code 4401: without a function there is no new token"],
    [4403, "close code 4403 is final"],
    [1008, "close code 1008 is final"],
  ])("%i is final, and it says so", (code, message) => {
    const { heard } = stubbed();
    Stub.last.accept();
    Stub.last.end(code);
    expect(heard).toEqual(["open", `error ${message}`, `close ${code}`]);
  });

  test("after a normal end there is nothing to say", () => {
    const { socket, heard } = stubbed();
    Stub.last.end(1000);
    expect([socket.readyState, heard]).toEqual([socket.CLOSED, ["close 1000"]]);
  });

  test("an UnauthorizedError is final", async () => {
    const { socket, heard } = stubbed(() => {
      throw new UnauthorizedError("signed out");
    });
    const closed = vi.fn();
    socket.onclose = closed;
    await vi.advanceTimersByTimeAsync(0);
    expect(closed.mock.calls[0]![0]).toMatchObject({ code: 4401, reason: "signed out" });
    expect([socket.readyState, heard.length, Stub.made]).toEqual([socket.CLOSED, 2, []]);
  });

  test("a bad URL is refused at once, as by a WebSocket", () => {
    expect(() => new ReconnectingWebSocket("nonsense")).toThrow();
    expect(vi.getTimerCount()).toBe(0);
  });
});
