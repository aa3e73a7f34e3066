// Asks the gateway's API. The key is in this module and nowhere else: not in storage, not in an address.

import { lines } from "./lines.js";

const PATIENCE_MS = 15_000;
const JSON_TYPE = "application/json";

let key = "";

/** Uses `text` as the key from now on; "" forgets it. */
export function useKey(text) {
  // A header is made of bytes, and `fetch` takes each from one character.
  key = String.fromCharCode(...new TextEncoder().encode(text));
}

export function hasKey() {
  return key !== "";
}

/** What went wrong with a request. `kind`: "key", "scope", "missing", "network", "wrong" or "busy". */
export class Problem extends Error {
  constructor(kind, message, status = 0) {
    super(message);
    this.kind = kind;
    this.status = status;
  }
}

/** The answer to a GET as an object. `query`: values that are left out where they are undefined. Throws Problem. */
export async function read(where, query, signal) {
  const pairs = Object.entries(query).filter(([, value]) => value !== undefined);
  const text = new URLSearchParams(pairs).toString();
  return objectOf(await ask("GET", text ? `${where}?${text}` : where, undefined, withPatience(signal)));
}

/** The answer to another request as an object. Throws Problem. */
export async function change(method, where, body) {
  return objectOf(await ask(method, where, body, withPatience()));
}

/** Calls `on` with each object of a streamed answer, until it ends or `signal` is aborted. Throws Problem. */
export async function follow(where, query, on, signal) {
  const answer = await ask("GET", `${where}?${new URLSearchParams(query)}`, undefined, signal);
  try {
    for await (const line of lines(answer.body)) on(JSON.parse(line));
  } catch (error) {
    if (signal.aborted) return;
    throw new Problem("network", `The stream ended: ${error.message}`);
  }
}

/** A path with names in it: `path("/v1/users/{}/connections", "alice")`. Throws Problem. */
export function path(template, ...names) {
  return template.replaceAll("{}", () => encoded(names.shift()));
}

function encoded(name) {
  // A browser takes these for steps in the path, however they are encoded.
  if (name === "." || name === "..") throw new Problem("wrong", `A browser cannot ask for the name "${name}".`);
  return encodeURIComponent(name);
}

function withPatience(signal) {
  const late = AbortSignal.timeout(PATIENCE_MS);
  return signal ? AbortSignal.any([late, signal]) : late;
}

async function ask(method, where, body, signal) {
  const headers = { Authorization: `Bearer ${key}`, Accept: JSON_TYPE };
  if (body !== undefined) headers["Content-Type"] = JSON_TYPE;
  let answer;
  try {
    answer = await fetch(new URL(where.slice(1), document.baseURI), {
      method,
      headers,
      signal,
      body: body === undefined ? undefined : JSON.stringify(body),
      cache: "no-store",
      credentials: "omit",
      referrerPolicy: "no-referrer",
      redirect: "error",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    const why = error.name === "TimeoutError" ? "it does not answer" : "the connection to it failed";
    throw new Problem("network", `The gateway cannot be asked: ${why}. Does the port-forward still run?`);
  }
  if (answer.ok) return answer;
  throw problem(answer.status, await detailOf(answer));
}

async function objectOf(answer) {
  try {
    const text = await answer.text();
    return text === "" ? {} : JSON.parse(text);
  } catch (error) {
    throw new Problem("network", `The answer of the gateway broke off: ${error.message}`);
  }
}

async function detailOf(answer) {
  try {
    return (await answer.json()).detail ?? "";
  } catch {
    return "";
  }
}

function problem(status, detail) {
  const kinds = { 401: "key", 403: "scope", 404: "missing", 503: "busy", 504: "busy" };
  return new Problem(kinds[status] ?? "wrong", detail || `The gateway answered ${status}.`, status);
}
