// A token is in no word of the client: in no error, event, reason or line of the console.

import { createServer } from "node:net";
import { inspect } from "node:util";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Client, type ClientOptions } from "../src/index.js";
import { gateway, make, until } from "./client.js";

const CANARY = "canary-in-the-coal-mine";
const SECRET = `e30.${btoa(JSON.stringify({ jti: CANARY, exp: 4_000_000_000 }))}.${CANARY}`;
/** As it is, and as it travels in a subprotocol. */
const SPELLINGS = [CANARY, SECRET.split(".")[1]!, btoa(SECRET).slice(0, 40), btoa(CANARY).slice(0, 20)];

const words: unknown[] = [];
const METHODS = ["log", "info", "warn", "error", "debug"] as const;

beforeEach(() => {
  words.length = 0;
  for (const method of METHODS) vi.spyOn(console, method).mockImplementation((...said) => void words.push(said));
});

afterEach(() => {
  vi.restoreAllMocks();
  expect(words).not.toHaveLength(0);
  const all = words
    .map(
      (word) =>
        `${inspect(word, { depth: 9 })} ${word instanceof Error ? `${word.stack} ${JSON.stringify(word)}` : ""}`,
    )
    .join("\n");
  for (const spelling of SPELLINGS) expect(all).not.toContain(spelling);
});

/** A client of which every word is kept. */
function overheard(options: Partial<ClientOptions> = {}, url = gateway.url): Client {
  const client = make({ getToken: () => SECRET, maxDelay: 20, timeout: 300, ...options }, url);
  for (const event of ["state", "waiting", "error", "moved"] as const) {
    client.on(event, (said) => {
      words.push(said, client.error);
    });
  }
  return client;
}

const keep = (promise: Promise<unknown>) =>
  promise.then(
    () => expect.unreachable(),
    (error) => words.push(error),
  );

test.each(["400 Bad Request", "401 Unauthorized", "403 Forbidden", "404 Not Found"])(
  "refused with %s",
  async (refusal) => {
    gateway.refusals = Array(9).fill(refusal);
    const client = overheard();
    client.connect();
    await until(() => words.length > 2);
    client.disconnect();
  },
);

test("nothing answers", async () => {
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve) => server.listen(0, resolve));
  const client = overheard({}, `ws://127.0.0.1:${(server.address() as { port: number }).port}/ws`);
  client.connect();
  await until(() => words.length > 6);
  server.close();
});

test.each([`${SECRET}\nX: y`, `${SECRET}é`, `${SECRET} ${SECRET}`, { token: SECRET }, [SECRET]])(
  "what getToken returns is no token",
  async (given) => {
    const client = overheard({ getToken: () => given as string });
    // After a text it would ask again.
    client.on("error", () => client.disconnect());
    const joining = keep(client.room("a").join());
    client.connect();
    await Promise.all([keep(client.ready()), joining]);
  },
);

test.each([
  `https://example.com/?access_token=${SECRET}`,
  `example.com/?access_token=${SECRET}`,
  `wss://u:${CANARY}@:99999/`,
  `wss://example.com/#${SECRET}`,
])("an address with a secret in it that is none", async (url) => {
  await keep((async () => new Client(url, { getToken: () => SECRET }))());
});

test("a WebSocket class that throws", async () => {
  class Broken {
    constructor(url: string, protocols: string[]) {
      throw new DOMException(`The subprotocol '${protocols[1]}' of ${url} is invalid.`, "SyntaxError");
    }
  }
  const client = overheard({ WebSocket: Broken });
  client.connect();
  await keep(client.ready());
  expect(client.error).toMatchObject({ name: "DisconnectedError", reason: "WebSocket: SyntaxError" });
});

test("a token is refused while it is shown anew, and everything that is asked fails", async () => {
  const soon = `e30.${btoa(JSON.stringify({ jti: CANARY, exp: Date.now() / 1_000 + 6 }))}.${CANARY}`;
  const client = overheard({ getToken: () => soon, refreshMargin: 5_900 });
  const room = client.room<any>("a");
  client.connect();
  const peer = await gateway.welcomed();
  await client.ready();
  const auth = await peer.hear("auth");
  peer.say({ type: "error", id: auth.id, payload: { code: "bad_token", message: "the signature is wrong" } });
  await keep(room.publish(1n));
  await keep(room.publish("x".repeat(70_000)));
  await keep(room.send(1, "x" as never));
  await keep(room.publish("lost"));
  peer.socket.close(4403, "access revoked");
  await until(() => client.state === "disconnected");
  await keep(client.ready());
  await keep(room.join());
});
