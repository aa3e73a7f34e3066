// What cannot be said as it was meant is refused before it is written, and bytes arrive as they were.

import { describe, expect, test, vi } from "vitest";
import { collect, gateway, make, until } from "./client.js";
import { WELCOME } from "./gateway.js";

async function connected(changes: object = {}) {
  const client = make({ timeout: 1_000 });
  client.connect();
  const peer = await gateway.welcomed({ limits: { ...WELCOME.limits, ...changes } });
  await client.ready();
  return { client, peer, room: client.room<any>("a") };
}

const cycle: Record<string, unknown> = {};
cycle.self = cycle;

describe("text", () => {
  test.each([
    ["undefined", undefined, "payload is Undefined"],
    ["a function", () => {}, "payload is Function"],
    ["a function inside", { work() {} }, "work is Function"],
    ["a symbol", [Symbol("x")], "0 is Symbol"],
    ["a BigInt", { n: 1n }, "n is BigInt"],
    ["NaN", { n: Number.NaN }, "n is NaN"],
    ["Infinity", [1 / 0], "0 is Infinity"],
    ["a Map", { m: new Map([[1, 2]]) }, "m is Map"],
    ["a promise", Promise.resolve(1), "payload is Promise"],
    ["bytes", new Uint8Array([1]), "payload is Uint8Array"],
    ["a cycle", cycle, "a cycle"],
    ["half a pair", "\ud83d", "an unpaired surrogate"],
    ["half a pair as a name", { "\udc00": 1 }, "an unpaired surrogate"],
    ["half a pair after backslashes", "\\\\\ud83d", "an unpaired surrogate"],
  ])("%s is refused before it is written", async (_, payload, why) => {
    const { peer, room } = await connected();
    const refusal = { name: "RefusedError", code: "bad_message", message: `not JSON: ${why}` };
    await expect(room.publish(payload)).rejects.toMatchObject(refusal);
    await expect(room.publish({ at: [payload ?? { f() {} }] })).rejects.toMatchObject({ code: "bad_message" });
    await room.presence({ after: "\ud800" }).catch((error) => expect(error).toMatchObject({ code: "bad_message" }));
    expect(peer.unheard).toBe(0);
  });

  test("what JSON can say goes out as it is", async () => {
    const { peer, room } = await connected();
    class Point {
      x = 1;
      skipped = undefined;
    }
    const payload = {
      date: new Date(0),
      point: new Point(),
      text: "\\ud800 😀",
      list: [null, true, 1.5],
      none: undefined,
    };
    const publishing = room.publish(payload);
    const heard = await peer.hear("broadcast");
    expect(heard.payload).toEqual(JSON.parse(JSON.stringify(payload)));
    peer.say({ type: "ack", id: heard.id, payload: {} });
    await publishing;
  });

  test("a room whose name cannot be said is refused, and not waited for", async () => {
    const { client } = await connected();
    await expect(client.room("\ud800").join()).rejects.toMatchObject({ code: "bad_message" });
    expect(client.room("\ud800").state).toBe("left");
  });
});

describe("size", () => {
  const large = (bytes: number) => "é".repeat(bytes / 2);

  test("what is larger than the gateway takes is refused, counted in bytes of the whole message", async () => {
    const { client, peer, room } = await connected({ message_bytes: 1_000 });
    const around = Buffer.byteLength(JSON.stringify({ room: "a", type: "broadcast", payload: "", id: "1" }));
    const fits = room.publish(large(1_000 - around - 2 + (around % 2)));
    const heard = await peer.hear("broadcast");
    expect(Buffer.byteLength(JSON.stringify(heard))).toBeLessThanOrEqual(1_000);
    peer.say({ type: "ack", id: heard.id, payload: {} });
    await fits;
    await expect(room.publish(large(1_000))).rejects.toMatchObject({
      name: "RefusedError",
      code: "too_large",
      message: `${1_000 + around} bytes are more than 1000`,
      size: 1_000 + around,
      limit: 1_000,
    });
    const since = { epoch: large(1_000), offset: 1 };
    await expect(room.history({ since })).rejects.toMatchObject({ code: "too_large" });
    await expect(client.room(large(1_000)).join()).rejects.toMatchObject({ code: "too_large" });
    expect([client.state, peer.unheard]).toEqual(["connected", 0]);
  });

  test("what waited for the welcome is measured then", async () => {
    const client = make();
    const publishing = client.room("a").publish(large(2_000));
    const sending = client.room("a").send(7, new Uint8Array(1_000));
    client.connect();
    void gateway.welcomed({ limits: { ...WELCOME.limits, message_bytes: 1_000 } });
    await expect(publishing).rejects.toMatchObject({ code: "too_large", limit: 1_000 });
    await expect(sending).rejects.toMatchObject({ code: "too_large", size: 1_004 });
  });

  test("a token that is too large to be shown is an error, and the old one goes on", async () => {
    const getToken = vi.fn(
      () => `e30.${btoa(JSON.stringify({ exp: Date.now() / 1_000 + 6, pad: "x".repeat(900) }))}.c`,
    );
    const client = make({ getToken, refreshMargin: 5_500 });
    const errors = collect<{ code: string }>(client, "error");
    client.connect();
    await gateway.welcomed({ limits: { ...WELCOME.limits, message_bytes: 1_000 } });
    await until(() => errors.length > 0);
    expect(errors[0]).toMatchObject({ code: "too_large" });
    expect(client.state).toBe("connected");
  });

  test("a close with 1009 is the end, and is shown as it is", async () => {
    const { client, peer, room } = await connected();
    const publishing = room.publish("x");
    await peer.hear("broadcast");
    peer.socket.close(1009, "message too big");
    await expect(publishing).rejects.toMatchObject({ name: "UnknownOutcomeError" });
    await until(() => client.state === "disconnected");
    expect(client.error).toMatchObject({ name: "DisconnectedError", code: 1009, reason: "message too big" });
    await expect(client.ready()).rejects.toBe(client.error);
    await expect(room.join()).rejects.toBe(client.error);
  });
});

describe("bytes", () => {
  const buffer = new Uint8Array([9, 9, 1, 2, 3, 4, 9]).buffer;
  const shared = new SharedArrayBuffer(2);
  new Uint8Array(shared).set([5, 6]);

  test.each([
    ["a Uint8Array", new Uint8Array(buffer, 2, 4), "01020304"],
    ["a Float32Array", new Float32Array([1.5, 2.5]), "0000c03f00002040"],
    ["a DataView", new DataView(buffer, 3, 2), "0203"],
    ["a BigInt64Array", new BigInt64Array([1n]), "0100000000000000"],
    ["a Buffer", Buffer.from("hi"), "6869"],
    ["an ArrayBuffer", new Uint8Array([7, 8]).buffer, "0708"],
    ["a SharedArrayBuffer", shared, "0506"],
    ["a view of one", new Uint8Array(shared, 1), "06"],
    ["a Blob", new Blob([new Uint8Array([1, 2]), "hi"]), "01026869"],
    ["a File", new File(["hi"], "name"), "6869"],
    ["nothing", new Uint8Array(), ""],
  ])("%s goes as its bytes", async (_, data, hex) => {
    const { peer, room } = await connected();
    await room.send(0xfffffffe, data);
    expect((await peer.hearBinary()).toString("hex")).toBe(`fffffffe${hex}`);
  });

  test.each([["a string"], [[1, 2, 3]], [{ length: 2 }], [7], [null], [undefined], [new Response("x")]])(
    "%s is a TypeError",
    async (data) => {
      const { peer, room } = await connected();
      await expect(room.send(7, data as never)).rejects.toThrow(TypeError);
      expect(peer.unheard).toBe(0);
    },
  );

  test.each([-1, 2 ** 32, 1.5, Number.NaN, "7", undefined])("a type of %s is a TypeError", async (type) => {
    const { room } = await connected();
    await expect(room.send(type as number, new Uint8Array())).rejects.toThrow(TypeError);
  });

  test("a Blob keeps its place, however long it takes to read", async () => {
    const { peer, room } = await connected();
    const slow = new Blob(["slow"]);
    let read: () => void = () => {};
    vi.spyOn(slow, "arrayBuffer").mockReturnValue(
      new Promise((resolve) => {
        read = () => resolve(new TextEncoder().encode("slow").buffer);
      }),
    );
    const order: string[] = [];
    peer.socket.on("message", (data: Buffer, isBinary) => order.push(isBinary ? data.subarray(4).toString() : "text"));
    const sent = [room.send(7, slow), room.send(7, Buffer.from("after"))];
    const publishing = room.publish(1);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(order).toEqual([]);
    read();
    await Promise.all(sent);
    const publish = await peer.hear("broadcast");
    peer.say({ type: "ack", id: publish.id, payload: {} });
    await publishing;
    expect(order).toEqual(["slow", "after", "text"]);
  });

  test("a Blob that cannot be read is refused, and holds nothing up", async () => {
    const { peer, room } = await connected();
    const broken = new Blob(["x"]);
    vi.spyOn(broken, "arrayBuffer").mockRejectedValue(new DOMException("gone", "NotReadableError"));
    const sending = room.send(7, broken);
    const next = room.send(8, Buffer.from("hi"));
    await expect(sending).rejects.toMatchObject({ code: "bad_binary" });
    await next;
    expect((await peer.hearBinary()).toString("hex")).toBe("000000086869");
  });
});
