// The hooks in a real React, with components that come and go.

import { Window } from "happy-dom";
import { createElement, type ReactNode, StrictMode } from "react";
import { afterEach, expect, test, vi } from "vitest";
import { ForestayProvider, type RoomOptions, useConnection, usePresence, useRoom } from "../src/react.js";
import { gateway, make, token, until } from "./client.js";
import type { Peer } from "./gateway.js";

const window = new Window();
Object.assign(globalThis, { window, document: window.document });
// It looks for a document when it is loaded.
const { createRoot } = await import("react-dom/client");

const roots: { unmount(): void }[] = [];
const complaints = vi.spyOn(console, "error");

afterEach(async () => {
  for (const root of roots.splice(0)) root.unmount();
  await settled();
  expect(complaints.mock.calls).toEqual([]);
});

/** Shows a page, whose text is what its components say. */
function show(client = make(), page: ReactNode = null) {
  const place = window.document.createElement("div");
  const root = createRoot(place as unknown as Element);
  roots.push(root);
  const set = (next: ReactNode) =>
    root.render(createElement(StrictMode, null, createElement(ForestayProvider, { client }, next)));
  set(page);
  return {
    set,
    says: (text: string | RegExp) =>
      vi.waitFor(() => expect(place.textContent).toMatch(text), { timeout: 5_000, interval: 5 }),
  };
}

function State() {
  const { state, user, error } = useConnection();
  return createElement("i", null, `${state} ${user ?? ""} ${error?.message ?? ""};`);
}

function Talk({ name, ...options }: { name: string | null } & RoomOptions) {
  const { state, messages, error } = useRoom<string>(name, options);
  return createElement("i", null, `${state} ${messages.map(({ payload }) => payload)} ${error?.message ?? ""};`);
}

function People({ name }: { name: string }) {
  const { members, users, error } = usePresence(name);
  return createElement("i", null, `${users}: ${members.map(({ user }) => user)} ${error?.message ?? ""};`);
}

/** Fails where something of this type has come that no test has asked for. */
const heardNo = (peer: Peer) => expect(peer.unheard).toBe(0);

/** Long enough for what React and the hooks put off. */
const settled = () => new Promise((resolve) => setTimeout(resolve, 50));

test("StrictMode mounts twice, and there is one connection and one join", async () => {
  const page = show(make(), [createElement(State, { key: 1 }), createElement(Talk, { key: 2, name: "a" })]);
  const peer = await gateway.welcomed();
  await peer.admit();
  await page.says("connected alice ;joined  ;");
  await settled();
  heardNo(peer);
  expect(gateway.handshakes).toBe(1);
  // The connection is there now, so that a leave and a second join would be written.
  page.set(createElement(Talk, { name: "b" }));
  expect(await peer.admit()).toMatchObject({ room: "b" });
  expect(await peer.hear("leave")).toMatchObject({ room: "a" });
  await page.says("joined  ;");
  await settled();
  heardNo(peer);
});

test("two components share a room, and the last one leaves it", async () => {
  const talk = (key: number) => createElement(Talk, { key, name: "a" });
  const page = show(make(), [talk(1), talk(2)]);
  const peer = await gateway.welcomed();
  await peer.admit();
  await page.says("joined  ;joined  ;");
  peer.say({ type: "broadcast", room: "a", payload: "hello" });
  await page.says("joined hello ;joined hello ;");
  page.set([talk(2)]);
  await settled();
  heardNo(peer);
  await page.says("joined hello ;");
  // Another page takes over in the same step.
  page.set([talk(3)]);
  await settled();
  heardNo(peer);
  page.set(null);
  expect(await peer.hear("leave")).toMatchObject({ room: "a" });
  await settled();
  heardNo(peer);
});

test("another name is another room, and no name is none", async () => {
  const page = show(make(), createElement(Talk, { name: "a" }));
  const peer = await gateway.welcomed();
  await peer.admit();
  await page.says("joined  ;");
  page.set(createElement(Talk, { name: "b" }));
  expect(await peer.admit()).toMatchObject({ room: "b" });
  expect(await peer.hear("leave")).toMatchObject({ room: "a" });
  await page.says("joined  ;");
  page.set(createElement(Talk, { name: null }));
  expect(await peer.hear("leave")).toMatchObject({ room: "b" });
  await page.says("left  ;");
});

test("the connection ends with its provider", async () => {
  const page = show(make(), createElement(State));
  const first = await gateway.welcomed();
  await page.says("connected alice ;");
  roots.pop()!.unmount();
  expect(await first.closed).toBe(1000);
});

test("the history comes first, what was live follows, and only the newest are kept", async () => {
  const page = show(make(), createElement(Talk, { name: "a", history: 2, limit: 3 }));
  const peer = await gateway.welcomed();
  await peer.admit({ epoch: "e", offset: 7 });
  const asked = await peer.hear("history");
  expect(asked).toMatchObject({ room: "a", limit: 2 });
  const told = (offset: number) => ({ payload: `${offset}`, offset, timestamp: "" });
  peer.say({ type: "broadcast", room: "a", epoch: "e", ...told(8) });
  await page.says("joined 8 ;");
  peer.say({
    type: "history",
    id: asked.id,
    room: "a",
    payload: { epoch: "e", messages: [6, 7].map(told), more: true },
  });
  await page.says("joined 6,7,8 ;");
  peer.say({ type: "broadcast", room: "a", epoch: "e", ...told(9) });
  await page.says("joined 7,8,9 ;");
  // Where messages were lost it is read anew.
  peer.say({ type: "resync", room: "a", payload: { reason: "bus_lost", epoch: "e", offset: 20 } });
  const again = await peer.hear("history");
  peer.say({
    type: "history",
    id: again.id,
    room: "a",
    payload: { epoch: "e", messages: [19, 20].map(told), more: true },
  });
  await page.says("joined 19,20 ;");
});

test("an error that comes when nobody is left is not shown to the next one", async () => {
  const client = make();
  // So the room is not left with its last component, and the answer still counts.
  const join = client.room("a").join();
  const page = show(client, createElement(Talk, { name: "a", history: 1 }));
  const peer = await gateway.welcomed();
  await peer.admit({ epoch: "e", offset: 7 });
  await join;
  const asked = await peer.hear("history");
  page.set(null);
  await settled();
  peer.say({ type: "error", id: asked.id, room: "a", payload: { code: "unavailable", message: "late" } });
  await settled();
  page.set(createElement(Talk, { name: "a" }));
  await page.says("joined  ;");
});

test("a cut connection comes back with what was missed, and the room is joined where it was", async () => {
  const page = show(make(), createElement(Talk, { name: "a" }));
  const peer = await gateway.welcomed();
  await peer.admit({ epoch: "e", offset: 1 });
  await page.says("joined  ;");
  peer.socket.terminate();
  await page.says("joining  ;");
  const next = await gateway.welcomed();
  expect(await next.admit({ epoch: "e", offset: 2, recovered: true })).toMatchObject({
    since: { epoch: "e", offset: 1 },
  });
  next.say({ type: "broadcast", room: "a", epoch: "e", offset: 2, payload: "missed", timestamp: "" });
  await page.says("joined missed ;");
});

test("who is there is read page by page, and follows who comes and goes", async () => {
  const page = show(make(), createElement(People, { name: "a" }));
  const peer = await gateway.welcomed();
  const first = { count: 3, users: 2, members: [{ user: "alice", connections: 2 }], next: "alice" };
  await peer.admit({ members: first });
  const more = await peer.hear("presence");
  expect(more).toMatchObject({ after: "alice" });
  // This comes before the answer, and may be newer.
  peer.say({ type: "user-joined", room: "a", payload: { user: "carol" } });
  const last = { count: 3, users: 2, members: [{ user: "bob", connections: 1 }] };
  peer.say({ type: "presence", id: more.id, room: "a", payload: last });
  await page.says("3: alice,bob,carol ;");
  peer.say({ type: "user-left", room: "a", payload: { user: "bob" } });
  await page.says("2: alice,carol ;");
  await settled();
  heardNo(peer);
});

test("a room that may not be joined says why", async () => {
  const page = show(make(), createElement(Talk, { name: "secret" }));
  const peer = await gateway.welcomed();
  const join = await peer.hear("join");
  const payload = { code: "forbidden", message: "no right to read secret" };
  peer.say({ type: "error", id: join.id, room: "secret", payload });
  await page.says("left  no right to read secret;");
});

test("a connection that is refused for good says why, in rooms too", async () => {
  gateway.refusals = Array(4).fill("403 Forbidden");
  gateway.detail = "not this origin";
  const page = show(make(), [createElement(State, { key: 1 }), createElement(Talk, { key: 2, name: "a" })]);
  await page.says("disconnected  disconnected 403 not this origin;joining  disconnected 403 not this origin;");
});

test("a browser without WebSocket gets an error, and no broken page", async () => {
  const page = show(make({ WebSocket: undefined }), createElement(State));
  await page.says(/^disconnected {2}no WebSocket here: .*forestay\/stream/);
});

test("a room that is joined elsewhere is not left", async () => {
  const client = make({ getToken: () => token() });
  client
    .room("a")
    .join()
    .catch(() => {});
  const page = show(client, createElement(Talk, { name: "a" }));
  const peer = await gateway.welcomed();
  await peer.admit();
  await page.says("joined  ;");
  page.set(null);
  await settled();
  heardNo(peer);
  await until(() => client.room("a").state === "joined");
});
