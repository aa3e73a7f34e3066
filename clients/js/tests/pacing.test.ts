// A client says no more than the gateway takes, and what is refused for its rate comes through.

import { describe, expect, test, vi } from "vitest";
import { collect, gateway, make, token, until } from "./client.js";
import { WELCOME } from "./gateway.js";

const limits = (changes: object) => ({ limits: { ...WELCOME.limits, rate: 200, burst: 40, ...changes } });
/** Seconds. It takes three; on a machine that is busy, a few more. Without pacing it takes for ever. */
const LONGEST = 12;
const NAMES = Array.from({ length: 500 }, (_, number) => `room.${number}`);

async function connected(changes: object = {}, options: object = {}) {
  const client = make(options);
  client.connect();
  const peer = await gateway.welcomed(limits(changes));
  await client.ready();
  return { client, peer };
}

describe("many rooms", { timeout: 30_000 }, () => {
  test.each([
    ["by lists", { rooms_per_join: 100 }, 40, 36],
    ["one by one, at an older gateway", { burst: undefined }, 200, 1],
  ])(
    "500 rooms are all joined in about N/rate seconds, with hardly a refusal: %s",
    async (_, changes, burst, largest) => {
      const { client, peer } = await connected(changes);
      const served = peer.serve(200, burst);
      const begun = performance.now();
      await Promise.all(NAMES.map((name) => client.room(name).join()));
      expect((performance.now() - begun) / 1_000).toBeLessThan(LONGEST);
      expect([...served.rooms].sort()).toEqual([...NAMES].sort());
      // On a machine that is busy some messages come close together.
      expect(served.refused).toBeLessThan(50);
      expect(Math.max(...served.sizes)).toBeLessThanOrEqual(largest);
    },
  );

  test("after a loss they come back in the same time, also while the application publishes", async () => {
    const { client, peer } = await connected({ rooms_per_join: 100 });
    peer.serve(0, 1e9);
    await Promise.all(NAMES.map((name) => client.room(name).join()));
    peer.socket.terminate();
    await until(() => client.state === "connecting");
    const next = await gateway.welcomed(limits({ rooms_per_join: 100 }));
    const served = next.serve(200, 40);
    await client.ready();
    const begun = performance.now();
    const publishes = Array.from({ length: 200 }, (_, number) => client.room("room.0").publish(number as never));
    await Promise.all(publishes);
    await until(() => NAMES.every((name) => client.room(name).state === "joined"));
    expect((performance.now() - begun) / 1_000).toBeLessThan(LONGEST);
    expect(served.published).toHaveLength(200);
    expect(served.refused).toBeLessThan(50);
  });

  test("a gateway that counts less than it says gets them all, each after its own refusals", async () => {
    const { client, peer } = await connected({ burst: 400, rooms_per_join: 100 });
    const served = peer.serve(200, 10);
    const begun = performance.now();
    await Promise.all(NAMES.slice(0, 300).map((name) => client.room(name).join()));
    expect([...served.rooms].sort()).toEqual(NAMES.slice(0, 300).sort());
    expect((performance.now() - begun) / 1_000).toBeLessThan(LONGEST);
    expect(served.refused).toBeGreaterThan(0);
  });

  test("a list fits into a message", async () => {
    const { client, peer } = await connected({ rooms_per_join: 100, message_bytes: 400, burst: 400 });
    const names = NAMES.slice(0, 50);
    const joins = names.map((name) => client.room(name).join());
    const heard: string[] = [];
    while (heard.length < names.length) {
      const join = await peer.hear("join");
      const rooms = (join.rooms as { room: string }[]) ?? [{ room: join.room! }];
      expect(rooms.length).toBeGreaterThan(1);
      expect(Buffer.byteLength(JSON.stringify(join))).toBeLessThanOrEqual(400);
      heard.push(...rooms.map(({ room }) => room));
      for (const { room } of rooms) peer.say({ type: "joined", id: join.id, room, payload: {} });
    }
    await Promise.all(joins);
    expect(heard).toEqual(names);
  });

  test("of a list each room gets its own answer, and a refusal of all is for all", async () => {
    const { client, peer } = await connected({ rooms_per_join: 100 });
    const [a, b] = [client.room("a").join(), client.room("b").join()];
    const list = await peer.hear("join");
    expect(list.rooms).toEqual([{ room: "a" }, { room: "b" }]);
    peer.say({ type: "error", id: list.id, room: "b", payload: { code: "forbidden", message: "no" } });
    peer.say({ type: "joined", id: list.id, room: "a", payload: {} });
    await a;
    await expect(b).rejects.toMatchObject({ code: "forbidden" });
    const both = [client.room("c").join(), client.room("d").join()];
    const again = await peer.hear("join");
    peer.say({ type: "error", id: again.id, payload: { code: "too_many_rooms", message: "no" } });
    for (const join of both) await expect(join).rejects.toMatchObject({ code: "too_many_rooms" });
  });
});

describe("requests", () => {
  test("a publish that is refused because of the rate is sent again when the gateway says, and once", async () => {
    const { client, peer } = await connected();
    const publishing = client.room("a").publish("x");
    const first = await peer.hear("broadcast");
    const begun = performance.now();
    peer.say({ type: "error", id: first.id, payload: { code: "rate_limited", message: "no", retry_after_ms: 200 } });
    const second = await peer.hear("broadcast");
    expect(performance.now() - begun).toBeGreaterThan(190);
    expect(second.payload).toBe("x");
    peer.say({ type: "ack", id: second.id, payload: {} });
    await publishing;
    expect(peer.unheard).toBe(0);
  });

  test("a leave that was refused does not come after a new join", async () => {
    const { client, peer } = await connected();
    const room = client.room("a");
    const joining = room.join();
    await peer.admit();
    await joining;
    const leaving = room.leave();
    const { id } = await peer.hear("leave");
    const again = room.join();
    const rejoin = await peer.hear("join");
    peer.say({ type: "error", id, room: "a", payload: { code: "rate_limited", message: "no", retry_after_ms: 50 } });
    peer.say({ type: "joined", id: rejoin.id, room: "a", payload: {} });
    await Promise.all([leaving, again]);
    void client
      .room("b")
      .publish("x")
      .catch(() => {});
    await peer.hear("broadcast");
    expect(peer.unheard).toBe(0);
    expect(room.state).toBe("joined");
  });

  test("a room that is left before it is joined is left once", async () => {
    const { client, peer } = await connected();
    const room = client.room("a");
    const joining = room.join();
    joining.catch(() => {});
    const join = await peer.hear("join");
    const leaving = room.leave();
    const leave = await peer.hear("leave");
    peer.say({ type: "joined", id: join.id, room: "a", payload: {} });
    peer.say({ type: "left", id: leave.id, room: "a" });
    await leaving;
    client
      .room("b")
      .publish("x")
      .catch(() => {});
    await peer.hear("broadcast");
    expect(peer.unheard).toBe(0);
    expect(room.state).toBe("left");
    await expect(joining).rejects.toMatchObject({ code: "not_joined" });
  });

  test("a join that was refused does not come after a leave", async () => {
    const { client, peer } = await connected({ rooms_per_join: 10 });
    const rooms = ["a", "b", "c"].map((name) => client.room(name));
    const joins = rooms.map((room) => room.join());
    for (const joining of joins) joining.catch(() => {});
    const join = await peer.hear("join");
    const leaving = [rooms[0]!.leave(), rooms[1]!.leave()];
    const leaves = [await peer.hear("leave"), await peer.hear("leave")];
    for (const room of ["a", "b", "c"]) {
      const payload = { code: "rate_limited", message: "no", retry_after_ms: 50 };
      peer.say({ type: "error", id: join.id, room, payload });
    }
    for (const { id } of leaves) peer.say({ type: "error", id, payload: { code: "not_joined", message: "no" } });
    await Promise.all(leaving);
    const again = await peer.hear("join");
    expect([again.room, again.rooms]).toEqual(["c", undefined]);
    peer.say({ type: "joined", id: again.id, room: "c", payload: {} });
    await joins[2];
    expect(peer.unheard).toBe(0);
  });

  test("a gateway that refuses for longer than an answer may take is told of by its own refusal", async () => {
    const { client, peer } = await connected({}, { timeout: 100 });
    const publishing = client.room("a").publish("x");
    const { id } = await peer.hear("broadcast");
    peer.say({ type: "error", id, payload: { code: "rate_limited", message: "no", retry_after_ms: 10_000 } });
    await expect(publishing).rejects.toMatchObject({ code: "rate_limited", retryAfter: 10_000 });
  });

  test("what was refused comes before what waits, in its order", async () => {
    const { client, peer } = await connected({ burst: 400 });
    const room = client.room<number>("a");
    const outcomes = [1, 2].map((number) => room.publish(number));
    const [first, second] = [await peer.hear("broadcast"), await peer.hear("broadcast")];
    peer.say({ type: "error", id: first.id, payload: { code: "rate_limited", message: "no", retry_after_ms: 50 } });
    peer.say({ type: "error", id: second.id, payload: { code: "rate_limited", message: "no", retry_after_ms: 55 } });
    peer.say({ type: "pong" });
    await new Promise((resolve) => setTimeout(resolve, 20));
    outcomes.push(room.publish(3));
    const heard: unknown[] = [];
    for (let count = 0; count < 3; count++) {
      const publish = await peer.hear("broadcast");
      heard.push(publish.payload);
      peer.say({ type: "ack", id: publish.id, payload: {} });
    }
    await Promise.all(outcomes);
    expect(heard).toEqual([1, 2, 3]);
  });

  test("the time for an answer begins when the message is written", async () => {
    const { client, peer } = await connected({ rate: 4, burst: 1 }, { timeout: 400 });
    const served = peer.serve(100, 100);
    const publishes = [1, 2, 3, 4].map((number) => client.room<number>("a").publish(number));
    await Promise.all(publishes);
    expect(served.published).toEqual([1, 2, 3, 4]);
  });

  test("what was never written when the connection ends is written to the next one", async () => {
    const { client, peer } = await connected({ rate: 1, burst: 1 });
    const publishes = [1, 2, 3].map((number) => client.room<number>("a").publish(number));
    await peer.hear("broadcast");
    peer.socket.terminate();
    await expect(publishes[0]).rejects.toMatchObject({ name: "UnknownOutcomeError" });
    const next = await gateway.welcomed();
    const served = next.serve(100, 100);
    await Promise.all(publishes.slice(1));
    expect(served.published).toEqual([2, 3]);
  });

  test("what was never written when the client stops is refused, and not of unknown outcome", async () => {
    const { client, peer } = await connected({ rate: 1, burst: 1 });
    const publishes = [1, 2].map((number) => client.room<number>("a").publish(number));
    await peer.hear("broadcast");
    peer.socket.close(4403);
    await expect(publishes[0]).rejects.toMatchObject({ name: "UnknownOutcomeError" });
    await expect(publishes[1]).rejects.toMatchObject({ name: "RefusedError", code: "unavailable" });
  });

  test("bytes are paced too", async () => {
    const { client, peer } = await connected({ bytes_rate: 20_000, message_bytes: 1_000 });
    const served = peer.serve(1_000, 1_000);
    const begun = performance.now();
    await Promise.all(Array.from({ length: 40 }, () => client.room("a").publish("x".repeat(900))));
    const seconds = (performance.now() - begun) / 1_000;
    expect(served.published).toHaveLength(40);
    expect(seconds).toBeGreaterThan(0.8);
  });

  test("a ping goes out before what waits", async () => {
    const page = new EventTarget();
    vi.stubGlobal("addEventListener", page.addEventListener.bind(page));
    const { client, peer } = await connected({ rate: 5, burst: 1 });
    const served = peer.serve(100, 100);
    const publishes = [1, 2].map((number) => client.room<number>("a").publish(number));
    page.dispatchEvent(new Event("offline"));
    await peer.hear("ping");
    expect(served.published).toEqual([1]);
    await Promise.all(publishes);
  });

  test("a move takes along what was not written", async () => {
    const { client, peer } = await connected({ rate: 1, burst: 1 });
    const publishes = [1, 2].map((number) => client.room<number>("a").publish(number));
    const first = await peer.hear("broadcast");
    peer.say({ type: "reconnect", payload: { reason: "draining", after_ms: 0, within_ms: 5_000 } });
    const next = await gateway.welcomed({ connection: "d" });
    const served = next.serve(100, 100);
    await publishes[1];
    expect(served.published).toEqual([2]);
    peer.say({ type: "ack", id: first.id, payload: {} });
    await publishes[0];
  });
});

test("a token that is shown anew is not paced away", async () => {
  const client = make({ getToken: () => token(6), refreshMargin: 5_500 });
  const errors = collect(client, "error");
  client.connect();
  const peer = await gateway.welcomed(limits({ burst: 1, rate: 1_000 }));
  await client.ready();
  await peer.hear("auth");
  expect(errors).toEqual([]);
});
