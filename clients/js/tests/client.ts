// What the tests of a client share: a gateway for each test, and clients that end with it.

import { afterEach, beforeEach, expect, vi } from "vitest";
import { Client, type ClientOptions } from "../src/index.js";
import { Gateway } from "./gateway.js";

export let gateway: Gateway;
const clients: Client[] = [];

beforeEach(async () => {
  gateway = await Gateway.open();
});

afterEach(() => {
  for (const client of clients.splice(0)) client.disconnect();
  gateway.close();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

/** A JWT that ends so many seconds from now. */
export function token(seconds = 3_600, name = "t"): string {
  const claims = { exp: Math.floor(Date.now() / 1000) + seconds, jti: name };
  return `e30.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.c2ln`;
}

export function make(options: Partial<ClientOptions> = {}, url = gateway.url): Client {
  const client = new Client(url, { getToken: () => token(), minDelay: 10, ...options });
  clients.push(client);
  return client;
}

/** The events of one name, as they come. */
export function collect<E>(emitter: { on(name: any, listener: (event: E) => void): unknown }, name: string): E[] {
  const events: E[] = [];
  emitter.on(name, (event) => events.push(event));
  return events;
}

export const until = (isSo: () => boolean) =>
  vi.waitFor(() => expect(isSo()).toBe(true), { timeout: 5_000, interval: 5 });
