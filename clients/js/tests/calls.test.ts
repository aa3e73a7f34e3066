// Calls: what the conformance suite cannot see from outside, such as signals and types.

import { beforeEach, describe, expect, expectTypeOf, test, vi } from "vitest";
import { type Client, RefusedError, UnknownOutcomeError } from "../src/index.js";
import { gateway, make } from "./client.js";
import type { Peer } from "./gateway.js";

let client: Client;
let peer: Peer;

beforeEach(async () => {
  client = make();
  client.connect();
  peer = await gateway.welcomed();
  await client.ready();
});

describe("a call", () => {
  test("has the type that is asked for, and null as its payload where there is none", async () => {
    const called = client.call<{ id: number }>("orders.create");
    const { id, payload, method } = await peer.hear("call");
    expect([method, payload]).toEqual(["orders.create", null]);
    peer.say({ type: "result", id, payload: { id: 17 } });
    const order = await called;
    expectTypeOf(order).toEqualTypeOf<{ id: number }>();
    expect(order.id).toBe(17);
  });

  test("that the application refuses has its code and its sentence", async () => {
    const called = client.call<any>("orders.create");
    const { id } = await peer.hear("call");
    peer.say({
      type: "error",
      id,
      payload: { code: "refused_by_application", reason: "sold_out", message: "none left" },
    });
    const error = await called.catch((caught: any) => caught);
    expect(error).toBeInstanceOf(RefusedError);
    expect([error.code, error.reason, error.message]).toEqual(["refused_by_application", "sold_out", "none left"]);
  });

  test("that is no JSON is refused before it is written", async () => {
    await expect(client.call("a", { n: Number.NaN })).rejects.toMatchObject({ code: "bad_message" });
    await expect(client.call("a", () => {})).rejects.toThrow(RefusedError);
  });

  test("without an answer rejects with a class of its own, which has no key", async () => {
    const error = await client.call<any>("a", 1, { timeout: 20 }).catch((caught: any) => caught);
    expect(error).toBeInstanceOf(UnknownOutcomeError);
    expect(error.key).toBeUndefined();
  });

  test("may wait for longer than any timer can", async () => {
    const called = client.call("a", 1, { timeout: Number.POSITIVE_INFINITY });
    const { id } = await peer.hear("call");
    await new Promise((resolve) => setTimeout(resolve, 20));
    peer.say({ type: "result", id, payload: "late" });
    expect(await called).toBe("late");
  });
});

describe("a signal", () => {
  test("that has been aborted lets nothing be written", async () => {
    await expect(client.call("a", 1, { signal: AbortSignal.abort("changed my mind") })).rejects.toBe("changed my mind");
    client.call("b").catch(() => {});
    expect((await peer.hear("call")).method).toBe("b");
  });

  test("rejects with its reason, and lets go of the call when that is answered", async () => {
    const { signal } = new AbortController();
    const [added, removed] = [vi.spyOn(signal, "addEventListener"), vi.spyOn(signal, "removeEventListener")];
    const called = client.call("a", 1, { signal });
    const { id } = await peer.hear("call");
    peer.say({ type: "result", id, payload: 1 });
    await called;
    expect(added).toHaveBeenCalledTimes(1);
    expect(removed).toHaveBeenCalledWith("abort", added.mock.calls[0]![1]);
  });
});
