// What the conformance suite cannot see from outside: races, clocks, pages, and classes given to us.

import { readFileSync } from "node:fs";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { WebSocket as Ws } from "ws";
import { type ClientOptions, DisconnectedError, UnauthorizedError, verdictOf, verdicts } from "../src/index.js";
import { collect, gateway, make, token, until } from "./client.js";

describe("tokens", () => {
  test("one that arrives after disconnect() is not used, and one of the next connect() is", async () => {
    const answers: ((token: string) => void)[] = [];
    const client = make({ getToken: () => new Promise((resolve) => answers.push(resolve)) });
    client.connect();
    await until(() => answers.length === 1);
    client.disconnect();
    client.connect();
    await until(() => answers.length === 2);
    answers[0]!(token(3_600, "late"));
    const fresh = token(3_600, "fresh");
    answers[1]!(fresh);
    const peer = await gateway.welcomed();
    await client.ready();
    expect(peer.token).toBe(fresh);
    expect(gateway.handshakes).toBe(1);
  });

  test("a loss while the next token is asked for does not ask a second time", async () => {
    const answers: ((token: string) => void)[] = [];
    const getToken = vi.fn((): string | Promise<string> => {
      if (answers.length) return new Promise((resolve) => answers.push(resolve));
      answers.push(() => {});
      return token(6);
    });
    const client = make({ getToken });
    client.connect();
    const first = await gateway.welcomed();
    await until(() => answers.length === 2);
    first.socket.close(4401, "token expired");
    await until(() => client.state === "connecting");
    const next = token(3_600, "next");
    answers[1]!(next);
    const second = await gateway.welcomed();
    await client.ready();
    expect(second.token).toBe(next);
    expect(getToken).toHaveBeenCalledTimes(2);
  });

  test("what getToken throws at once is handled like what it rejects with", async () => {
    const client = make({
      getToken() {
        throw new UnauthorizedError("nobody");
      },
    });
    client.connect();
    await expect(client.ready()).rejects.toThrow(DisconnectedError);
    expect(gateway.handshakes).toBe(0);
  });
});

describe("endings", () => {
  const page = readFileSync(new URL("../../../docs/protocol.md", import.meta.url), "utf8");
  const rows = [...page.matchAll(/^\| `(\d{4})` \|.*\| ([^|]+) \|$/gm)];
  const listed = rows.map(([, code, does]): [number, string] => [
    Number(code),
    does!.startsWith("come back once") ? "once" : does!.startsWith("come back") ? "return" : "stop",
  ]);

  test("the table is the one of the protocol", () => {
    const ours = Object.entries(verdicts).filter(([code]) => Number(code) >= 1000);
    expect(ours).toEqual(listed.filter(([, verdict]) => verdict !== "stop").map(([code, does]) => [`${code}`, does]));
    expect(listed.map(([code]) => [code, verdictOf(code)])).toEqual(listed);
    expect(verdictOf(4999)).toBe("stop");
    expect(verdictOf(502)).toBe("return");
  });

  test.each([...listed, [3999, "stop"] as const])("%i: %s", async (code, verdict) => {
    const client = make();
    const states = collect<{ state: string; code?: number }>(client, "state");
    client.connect();
    const peer = await gateway.welcomed();
    await client.ready();
    if (code === 1006) peer.socket.terminate();
    else peer.socket.close(code, "why");
    await until(() => client.state !== "connected");
    const state = verdict === "stop" ? "disconnected" : "connecting";
    expect(states.at(-1)).toMatchObject({ oldState: "connected", state, code });
    if (verdict !== "stop") {
      await gateway.welcomed();
      await client.ready();
    }
  });
});

describe("a WebSocket class that shows statuses", () => {
  test("401 brings a new token once, and then the end", async () => {
    gateway.refusals = ["401 Unauthorized", "401 Unauthorized"];
    const getToken = vi.fn(() => token());
    const client = make({ getToken, WebSocket: Ws });
    client.connect();
    await expect(client.ready()).rejects.toMatchObject({ code: 401 });
    expect(getToken).toHaveBeenCalledTimes(2);
  });

  test("403 is the end", async () => {
    gateway.refusals = ["403 Forbidden"];
    const client = make({ WebSocket: Ws });
    client.connect();
    await expect(client.ready()).rejects.toMatchObject({ code: 403, reason: "Forbidden" });
  });

  test("503 is come back from, after the time that it names and with the same token", async () => {
    gateway.refusals = ["503 Unavailable\r\nRetry-After: 1"];
    const getToken = vi.fn(() => token());
    const client = make({ getToken, maxDelay: 0, WebSocket: Ws });
    const begun = Date.now();
    client.connect();
    await gateway.welcomed();
    expect(Date.now() - begun).toBeGreaterThan(900);
    expect(getToken).toHaveBeenCalledTimes(1);
  });

  test("a status that a proxy made is come back from, in the time that is usual", async () => {
    gateway.refusals = ["502 Bad Gateway"];
    const client = make({ WebSocket: Ws });
    const waits = collect<{ delay: number }>(client, "waiting");
    client.connect();
    await gateway.welcomed();
    await client.ready();
    expect(waits).toMatchObject([{ code: 502, delay: expect.toSatisfy((ms: number) => ms >= 10) }]);
  });

  test("nothing keeps the process after disconnect()", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const client = make({ WebSocket: Ws });
    client.connect();
    const peer = await gateway.welcomed();
    await client.ready();
    const joining = client.room("a").join();
    await peer.admit();
    await joining;
    client.disconnect();
    await peer.closed;
    // `ws` has one of its own until the gateway has hung up.
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe("sleep", () => {
  const clock = () => vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date"] });

  test("a dead connection is dropped without waiting for its close, which is then no news", async () => {
    clock();
    const client = make();
    const states = collect<{ state: string }>(client, "state");
    client.connect();
    const first = await gateway.welcomed({ ping_interval_ms: 1_000, pong_timeout_ms: 500 });
    await client.ready();
    // It reads nothing any more, the close frame included.
    first.socket.pause();
    await vi.advanceTimersByTimeAsync(1_500);
    expect(states.at(-1)).toMatchObject({ state: "connecting", code: 1006, reason: "no pong" });
    await vi.advanceTimersByTimeAsync(100);
    await gateway.welcomed();
    await client.ready();
    first.socket.resume();
    await first.closed;
    expect(states.map(({ state }) => state)).toEqual(["connecting", "connected", "connecting", "connected"]);
  });

  test("a machine that wakes asks before it gives a connection up", async () => {
    clock();
    const client = make();
    client.connect();
    const peer = await gateway.welcomed({ ping_interval_ms: 1_000, pong_timeout_ms: 500 });
    await client.ready();
    await vi.advanceTimersByTimeAsync(1_000);
    await peer.hear("ping");
    vi.setSystemTime(Date.now() + 3_600_000);
    await vi.advanceTimersByTimeAsync(500);
    await peer.hear("ping");
    expect(client.state).toBe("connected");
    peer.say({ type: "pong" });
    await vi.advanceTimersByTimeAsync(400);
    expect(client.state).toBe("connected");
  });
});

describe("pages", () => {
  let page: EventTarget;

  beforeEach(() => {
    page = new EventTarget();
    vi.stubGlobal("addEventListener", page.addEventListener.bind(page));
  });

  const tell = (type: string, persisted?: boolean) => page.dispatchEvent(Object.assign(new Event(type), { persisted }));

  test("a page that is put aside says goodbye, and comes back with its rooms when it is shown", async () => {
    const client = make();
    client.connect();
    const first = await gateway.welcomed();
    const joining = client.room("a").join();
    await first.admit({ epoch: "e", offset: 4 });
    await joining;
    tell("pagehide", true);
    expect(await first.closed).toBe(1000);
    expect([client.state, client.room("a").state]).toEqual(["connecting", "joining"]);
    tell("pageshow", true);
    const second = await gateway.welcomed();
    expect(await second.hear("join")).toMatchObject({ since: { epoch: "e", offset: 4 } });
  });

  test("a network that returns ends the waiting, and one that goes is asked after", async () => {
    const client = make({ minDelay: 60_000, maxDelay: 60_000 });
    client.connect();
    const first = await gateway.welcomed();
    await client.ready();
    tell("offline");
    await first.hear("ping");
    first.socket.terminate();
    await until(() => client.state === "connecting");
    tell("online");
    await gateway.welcomed();
    await client.ready();
  });

  test("after disconnect() the page is not listened to", async () => {
    const made = vi.fn();
    class Counted extends WebSocket {
      constructor(url: string, protocols: string[]) {
        super(url, protocols);
        made();
      }
    }
    const client = make({ WebSocket: Counted });
    client.connect();
    await gateway.welcomed();
    await client.ready();
    client.disconnect();
    tell("pageshow", true);
    // A token at hand needs no more than microtasks.
    await new Promise((resolve) => setImmediate(resolve));
    expect(made).toHaveBeenCalledTimes(1);
  });
});

describe("rooms", () => {
  async function inRoom(payload: object = {}, options: Partial<ClientOptions> = {}) {
    const client = make(options);
    client.connect();
    const peer = await gateway.welcomed();
    const room = client.room<number | string>("a");
    const joining = room.join();
    await peer.admit(payload);
    await joining;
    const say = (body: number | string, offset?: number, to = peer) =>
      to.say({ type: "broadcast", room: "a", payload: body, ...(offset && { epoch: "e", offset }) });
    return { client, peer, room, say };
  }

  test("a join that the connection does not survive is answered by the next one", async () => {
    const client = make();
    client.connect();
    const first = await gateway.welcomed();
    const joining = client.room("a").join();
    await first.hear("join");
    first.socket.terminate();
    const second = await gateway.welcomed();
    await second.admit({ epoch: "e", offset: 1 });
    expect(await joining).toEqual({ epoch: "e", offset: 1 });
  });

  test("a loop gets what comes while it works, and is told what it was too slow for", async () => {
    const { client, peer, room, say } = await inRoom({}, { inbox: 4 });
    const resyncs = collect<{ reason: string }>(room, "resync");
    const heard = collect(room, "message");
    const messages = room[Symbol.asyncIterator]();
    const first = messages.next();
    say(1);
    expect((await first).value).toMatchObject({ payload: 1 });
    for (let number = 2; number <= 7; number++) say(number);
    await until(() => heard.length === 7);
    const rest: unknown[] = [];
    for (let count = 0; count < 4; count++) rest.push((await messages.next()).value?.payload);
    expect(rest).toEqual([4, 5, 6, 7]);
    expect(resyncs).toEqual([{ reason: "overflow" }]);
    void room.leave();
    expect(await messages.next()).toEqual({ value: undefined, done: true });

    const another = room[Symbol.asyncIterator]();
    const rejoined = room.join();
    const waiting = another.next();
    await peer.admit();
    await rejoined;
    client.disconnect();
    expect(await waiting).toEqual({ value: undefined, done: true });
  });

  test("a listener that throws is reported, and everything else goes on", async () => {
    const { room, say } = await inRoom();
    const reported: unknown[] = [];
    const previous = process.listeners("uncaughtException");
    process.removeAllListeners("uncaughtException");
    process.once("uncaughtException", (error) => reported.push(error));
    room.on("message", () => {
      throw new Error("of the application");
    });
    const messages = collect<{ payload: unknown }>(room, "message");
    say("one");
    await until(() => messages.length === 1 && reported.length === 1);
    for (const listener of previous) process.on("uncaughtException", listener);
    expect(String(reported[0])).toBe("Error: of the application");
  });

  test("in a move each message is told once, whichever connection is ahead, and a binary one by both", async () => {
    const { client, peer, room, say } = await inRoom();
    const messages = collect<{ payload: unknown }>(room, "message");
    const binary = collect<{ type: number }>(client, "binary");
    const moved = collect(client, "moved");
    peer.say({ type: "reconnect", payload: { reason: "draining", after_ms: 0, within_ms: 5_000 } });
    const next = await gateway.welcomed({ connection: "d" });
    await next.admit();
    await until(() => client.connection === "d");
    for (const to of [peer, next]) {
      say("both", undefined, to);
      to.socket.send(Buffer.from([0, 0, 0, 7, 1]));
    }
    for (const to of [next, peer]) say("again", undefined, to);
    say("twice", undefined, next);
    say("twice", undefined, next);
    expect(await peer.closed).toBe(1000);
    say("late", undefined, next);
    await until(() => messages.at(-1)?.payload === "late");
    expect(messages.map(({ payload }) => payload)).toEqual(["both", "again", "twice", "twice", "late"]);
    expect(binary).toHaveLength(2);
    expect(moved).toEqual([{ rooms: ["a"] }]);
  });

  test("what is joined while the old connection lingers is joined on the new one alone", async () => {
    const { client, peer } = await inRoom();
    peer.say({ type: "reconnect", payload: { reason: "draining", after_ms: 0, within_ms: 5_000 } });
    const next = await gateway.welcomed({ connection: "d" });
    await next.admit();
    await until(() => client.connection === "d");
    const joining = client.room("b").join();
    await next.admit({ epoch: "f", offset: 1 });
    await joining;
    expect(await peer.closed).toBe(1000);
    expect(peer.unheard).toBe(0);
  });

  test("a move that leaves a gap is told, and the old connection has no say any more", async () => {
    const { client, peer, room, say } = await inRoom({ epoch: "e", offset: 1 });
    const joined = collect(room, "joined");
    const messages = collect<{ payload: unknown }>(room, "message");
    client
      .room("b")
      .join()
      .catch(() => {});
    await peer.hear("join");
    peer.say({ type: "reconnect", payload: { reason: "draining", after_ms: 0, within_ms: 5_000 } });
    const next = await gateway.welcomed({ connection: "d" });
    await next.admit({ epoch: "f", offset: 7, recovered: false });
    await until(() => joined.length === 1);
    say("of before", 2);
    next.say({ type: "broadcast", room: "a", payload: "of now", epoch: "f", offset: 8 });
    await until(() => messages.length === 1);
    expect(joined).toEqual([{ epoch: "f", offset: 7, recovered: false }]);
    expect(messages[0]).toMatchObject({ payload: "of now" });
  });

  test("a publish has a key of its own where the room remembers, and a given one everywhere", async () => {
    const { peer, room } = await inRoom({ epoch: "e", offset: 1 });
    const publishing = room.publish("x");
    const first = await peer.hear("broadcast");
    expect(first.key).toMatch(/^[\d.e-]{3,24}$/);
    peer.socket.terminate();
    await expect(publishing).rejects.toMatchObject({ name: "UnknownOutcomeError", key: first.key });
  });

  test("more than the outbox holds is refused", async () => {
    const client = make({ outbox: 1, timeout: 50 });
    const [first, second] = [client.room("a").publish(1), client.room("a").publish(2)];
    await expect(second).rejects.toMatchObject({ code: "unavailable", message: "outbox full" });
    await expect(first).rejects.toMatchObject({ code: "unavailable" });
  });
});
