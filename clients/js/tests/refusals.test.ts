// Where a connection does not come about, the client says why, and stops where trying again makes no sense.

import { createServer, type Server } from "node:net";
import { afterEach, describe, expect, test, vi } from "vitest";
import { WebSocketServer } from "ws";
import { Client, type RefusedError } from "../src/index.js";
import { collect, gateway, make, token, until } from "./client.js";

describe("a refused handshake, whose status a browser does not show", () => {
  test.each([
    [403, "403 Forbidden", 1],
    [404, "404 Not Found", 1],
    [431, "431 Request Header Fields Too Large", 1],
    [401, "401 Unauthorized", 2],
  ])("%i is reported with what the gateway says, and is the end", async (code, refusal, tokens) => {
    // Node says a 401 twice by itself.
    gateway.refusals = Array(6).fill(refusal);
    gateway.detail = "because of this";
    const getToken = vi.fn(() => token());
    const client = make({ getToken });
    const joining = client.room("a").join();
    joining.catch(() => {});
    client.connect();
    const stopped = { name: "DisconnectedError", code, reason: "because of this" };
    await expect(client.ready()).rejects.toMatchObject(stopped);
    await expect(joining).rejects.toMatchObject(stopped);
    await expect(client.room("a").join()).rejects.toBe(client.error);
    expect(client.error).toMatchObject({ ...stopped, message: `disconnected ${code} because of this` });
    expect(getToken).toHaveBeenCalledTimes(tokens);
    expect(gateway.asked).toEqual(getToken.mock.results.map((asked) => asked.value));
  });

  test("503 is waited for as long as it says, and the wait is shown", async () => {
    gateway.refusals = ["503 Unavailable\r\nRetry-After: 1"];
    gateway.detail = "the pod is full";
    const getToken = vi.fn(() => token());
    const client = make({ getToken, maxDelay: 0 });
    const waits = collect<{ delay: number }>(client, "waiting");
    client.connect();
    await until(() => waits.length === 1);
    expect(waits).toEqual([{ delay: 1_000, code: 503, reason: "the pod is full" }]);
    expect(client.error).toMatchObject({ code: 503, reason: "the pod is full" });
    const peer = await gateway.welcomed();
    await client.ready();
    expect(client.error).toBeUndefined();
    expect(peer.token).toBe(getToken.mock.results[0]!.value);
    expect(getToken).toHaveBeenCalledTimes(1);
  });

  test("a token is never a part of the address", async () => {
    gateway.refusals = ["503 Unavailable"];
    const fetched = vi.spyOn(globalThis, "fetch");
    const client = make();
    client.connect();
    await gateway.welcomed();
    expect(fetched).toHaveBeenCalledTimes(1);
    expect(String(fetched.mock.calls[0]![0])).toBe(gateway.url.replace("ws", "http"));
    fetched.mockRestore();
  });

  test.each(["400 Bad Request", "426 Upgrade Required", "200 OK"])(
    "a server that answers a GET with %s is tried again",
    async (answer) => {
      gateway.refusals = [answer];
      const client = make({ maxDelay: 0 });
      const waits = collect<object>(client, "waiting");
      client.connect();
      await gateway.welcomed();
      await client.ready();
      expect(waits).toEqual([{ delay: 10, code: 1006, reason: `GET: ${answer.slice(0, 3)}` }]);
    },
  );

  test("a GET that has no answer is not repeated with each try, and a hanging one is not waited for", async () => {
    const fetched = vi.spyOn(globalThis, "fetch");
    let tries = 0;
    const silent = createServer((socket) => {
      socket.once("data", (data) => {
        if (!/upgrade: websocket/i.test(data.toString())) return;
        tries++;
        socket.destroy();
      });
    });
    const url = await listening(silent);
    const client = make({ timeout: 200, maxDelay: 20 }, url);
    client.connect();
    await until(() => tries > 3);
    expect(fetched).toHaveBeenCalledTimes(1);
    expect(client.error).toMatchObject({
      code: 1006,
      reason: expect.stringMatching(/^no gateway answers at 127\.0\.0\.1:\d+$/),
    });
    fetched.mockRestore();
  });
});

test("a class that reports an error and never a close, like that of Node 22, is not waited for", async () => {
  class Mute {
    readyState = 0;
    protocol = "";
    onerror = (): void => {};
    constructor() {
      setTimeout(() => this.onerror());
    }
    close(): void {}
  }
  const client = make({ WebSocket: Mute });
  client.connect();
  await until(() => client.error !== undefined);
  expect(client.error).toMatchObject({ code: 1006, reason: "GET: 426" });
});

const servers: Server[] = [];

async function listening(server: Server): Promise<string> {
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `ws://127.0.0.1:${(server.address() as { port: number }).port}/ws`;
}

afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

test("a WebSocket server that is no gateway is said to be none, and breaks nothing", async () => {
  const server = new WebSocketServer({ host: "127.0.0.1", port: 0 });
  server.on("connection", (socket) => socket.send("Request served by me"));
  await new Promise((resolve) => server.once("listening", resolve));
  const client = make({ maxDelay: 20 }, `ws://127.0.0.1:${(server.address() as { port: number }).port}`);
  client.connect();
  await until(() => client.error !== undefined);
  expect(client.error).toMatchObject({ reason: "no Forestay gateway" });
  client.disconnect();
  server.close();
});

describe("tokens", () => {
  test.each([
    ["an object", { token: "x" }, "object"],
    ["nothing", undefined, "undefined"],
    ["null", null, "null"],
    ["an empty string", "", '""'],
    ["white space", " \n", "string"],
  ])("%s is no token, and the end", async (_, given, kind) => {
    const getToken = vi.fn(() => given as string);
    const client = make({ getToken });
    client.connect();
    const stopped = { name: "DisconnectedError", code: "bad_token", reason: `getToken returned no token: ${kind}` };
    await expect(client.ready()).rejects.toMatchObject(stopped);
    expect(client.error).toMatchObject(stopped);
    expect([client.state, getToken.mock.calls.length, gateway.handshakes]).toEqual(["disconnected", 1, 0]);
  });

  test("a page in place of one is an error, and it is asked for again", async () => {
    const getToken = vi.fn(() => token());
    getToken.mockReturnValueOnce("<!doctype html>\n<title>502 Bad Gateway</title>");
    const client = make({ getToken, maxDelay: 0, minDelay: 50 });
    const errors = collect<Error>(client, "error");
    client.connect();
    await until(() => errors.length === 1);
    expect(errors[0]).toMatchObject({
      name: "RefusedError",
      code: "bad_token",
      message: "getToken returned no token: a text with spaces, perhaps a page",
    });
    expect([client.error, client.state]).toEqual([errors[0], "connecting"]);
    await gateway.welcomed();
    await client.ready();
    expect(client.error).toBeUndefined();
  });

  test("white space around one is no part of it", async () => {
    const given = token();
    const client = make({ getToken: () => `${given}\r\n` });
    client.connect();
    expect((await gateway.welcomed()).token).toBe(given);
  });

  test("one that is no JWT is shown in the alphabet of subprotocols", async () => {
    const client = make({ getToken: () => "~~~???>>>" });
    client.connect();
    expect((await gateway.welcomed()).token).toBe("~~~???>>>");
  });

  test("what getToken throws is shown, and it is asked again", async () => {
    const getToken = vi.fn(() => token());
    getToken.mockImplementationOnce(() => {
      throw new Error("no network");
    });
    const client = make({ getToken, maxDelay: 0, minDelay: 50 });
    const errors = collect<Error>(client, "error");
    client.connect();
    await until(() => errors.length === 1);
    expect(client.error).toBe(errors[0]);
    await gateway.welcomed();
    await client.ready();
    expect(client.error).toBeUndefined();
  });

  test("where what getToken throws makes the application disconnect, it is not asked again", async () => {
    const getToken = vi.fn(() => {
      throw new Error("no network");
    });
    const client = make({ getToken, maxDelay: 0, minDelay: 10 });
    client.on("error", () => client.disconnect());
    client.connect();
    await until(() => client.state === "disconnected");
    // Longer than it would have waited.
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect([client.error, getToken.mock.calls.length]).toEqual([undefined, 1]);
  });

  test("rubbish at a renewal is an error, and the connection goes on", async () => {
    const getToken = vi.fn((): string => token(6));
    const client = make({ getToken, refreshMargin: 5_500 });
    const errors = collect<RefusedError>(client, "error");
    client.connect();
    await gateway.welcomed();
    await client.ready();
    getToken.mockReturnValue(undefined as never);
    await until(() => errors.length === 1);
    expect(errors[0]).toMatchObject({ code: "bad_token" });
    expect(client.state).toBe("connected");
  });

  test("one that has expired is named, where nothing else says why", async () => {
    const server = createServer((socket) => socket.destroy());
    const client = make({ getToken: () => token(-60), maxDelay: 20 }, await listening(server));
    client.connect();
    await until(() => client.error !== undefined);
    expect(client.error).toMatchObject({ reason: "token expired, by our clock" });
  });
});

describe("addresses", () => {
  test.each([
    "gateway.example.com/ws",
    "localhost:8080/ws",
    "http://gateway.example.com/ws",
    "//gateway.example.com/ws",
    "wss://",
    "wss://gateway.example.com/ws#part",
    "wss://gateway.example.com/ws#",
    "",
    undefined,
  ])("%s is refused at once", (url) => {
    expect(() => new Client(url as string, { getToken: () => "" })).toThrow(
      expect.objectContaining({
        name: "RefusedError",
        code: "bad_url",
        message: "the URL has to be like wss://host/ws or ws://host/ws, without #",
      }),
    );
  });

  test("without a WebSocket class connect() says so", () => {
    vi.stubGlobal("WebSocket", undefined);
    const client = new Client("wss://gateway.example.com/ws", { getToken: () => "" });
    expect(() => client.connect()).toThrow(expect.objectContaining({ name: "RefusedError", code: "no_websocket" }));
    expect(client.error?.message).toMatch(/^no WebSocket here: .*forestay\/stream/);
    expect(client.state).toBe("disconnected");
  });

  test("a request before connect() says what it waited for", async () => {
    const room = make({ timeout: 10 }).room("a");
    await expect(room.publish("x")).rejects.toMatchObject({
      code: "unavailable",
      message: "not sent in time: no connection, see client.error, or call connect()",
    });
  });

  test("a page of https that may not open ws:// says what it needs", async () => {
    vi.stubGlobal(
      "WebSocket",
      class {
        constructor() {
          throw new DOMException("Mixed Content", "SecurityError");
        }
      },
    );
    const client = make();
    client.connect();
    await expect(client.ready()).rejects.toMatchObject({
      reason: "WebSocket: SecurityError, a page of https needs wss://",
    });
  });
});
