// Drives the built SDK with JSON lines, for the conformance suite: commands on stdin, events on stdout.

import { createInterface } from "node:readline";
import { Client, UnauthorizedError } from "../dist/index.js";
import { stream } from "../dist/stream.js";

const say = (event) => process.stdout.write(`${JSON.stringify(event)}\n`);
const complain = (error) => console.error(error);

// Node has no window to say whether there is a network; the suite does.
const page = new EventTarget();
globalThis.addEventListener = page.addEventListener.bind(page);

const OPTIONS = {
  timeout_ms: "timeout",
  connect_timeout_ms: "connectTimeout",
  min_delay_ms: "minDelay",
  max_delay_ms: "maxDelay",
  refresh_margin_ms: "refreshMargin",
  outbox: "outbox",
  inbox: "inbox",
};

let client;
const rooms = new Map();
const calls = new Map();
const tokens = [];
const asked = [];

function getToken() {
  say({ on: "token" });
  return new Promise((resolve, reject) => {
    asked.push({ resolve, reject });
    answerTokens();
  });
}

function answerTokens() {
  while (tokens.length && asked.length) {
    const { value, error } = tokens.shift();
    const { resolve, reject } = asked.shift();
    if (error === "unauthorized") reject(new UnauthorizedError("no token for you"));
    else if (error) reject(new Error("no token just now"));
    else resolve(value);
  }
}

function make({ url, options = {} }) {
  const given = Object.entries(options).map(([name, value]) => [OPTIONS[name], value]);
  const transports = options.transports?.map((name) => (name === "stream" ? stream : name));
  client = new Client(url, { getToken, transports, ...Object.fromEntries(given.filter(([name]) => name)) });
  client.on("state", ({ state, code, reason }) => say({ on: "state", state, code, reason }));
  client.on("moved", (moved) => say({ on: "moved", ...moved }));
  client.on("binary", ({ type, data }) => say({ on: "binary", type, hex: hex(data) }));
  client.on("error", complain);
}

function roomOf({ room: name }) {
  if (rooms.has(name)) return rooms.get(name);
  const room = client.room(name);
  rooms.set(name, room);
  room.on("state", ({ state, code, reason }) => say({ on: "room", room: name, state, code, reason }));
  room.on("joined", ({ recovered, epoch, offset }) => say({ on: "joined", room: name, recovered, epoch, offset }));
  room.on("message", ({ payload, from, event, epoch, offset }) =>
    say({ on: "message", room: name, payload, from, event, epoch, offset }),
  );
  room.on("binary", ({ type, data }) => say({ on: "binary", room: name, type, hex: hex(data) }));
  room.on("resync", ({ reason }) => say({ on: "resync", room: name, reason }));
  for (const type of ["user-joined", "user-left"]) {
    room.on(type, ({ user }) => say({ on: "presence-change", room: name, type, user }));
  }
  return room;
}

const hex = (bytes) => Buffer.from(bytes).toString("hex");

/** Without the fields that were left out. */
const pick = (command, ...names) =>
  Object.fromEntries(names.filter((name) => command[name] !== undefined).map((name) => [name, command[name]]));

const commands = {
  client: make,
  connect: () => client.connect(),
  disconnect: () => client.disconnect(),
  token(command) {
    tokens.push(command);
    answerTokens();
  },
  join: (command) => roomOf(command).join(),
  leave: (command) => roomOf(command).leave(),
  publish: (command) => roomOf(command).publish(command.payload, pick(command, "key", "echo", "event", "traceparent")),
  presence: (command) => roomOf(command).presence(pick(command, "after", "limit")),
  history: (command) => roomOf(command).history(pick(command, "since", "before", "limit")),
  bind: (command) => roomOf(command).bind(command.type),
  send: (command) => roomOf(command).send(command.type, Buffer.from(command.hex, "hex")),
  call({ as, method, payload, timeout_ms: timeout }) {
    calls.set(as, new AbortController());
    return client.call(method, payload, { timeout, signal: calls.get(as).signal });
  },
  cancel: ({ as }) => void calls.get(as).abort(),
  ready: () => client.ready(),
  network: ({ state }) => void page.dispatchEvent(new Event(state)),
};

const ERRORS = {
  RefusedError: "refused",
  UnknownOutcomeError: "unknown_outcome",
  UnauthorizedError: "unauthorized",
  DisconnectedError: "disconnected",
  AbortError: "cancelled",
};

function failure(as, error) {
  const kind = ERRORS[error.name];
  if (!kind) complain(error);
  const { code, reason } = kind === "refused" ? error : {};
  say({ on: "failure", as, error: kind ?? error.name, code, reason, key: error.key });
}

function run(command) {
  const work = commands[command.do];
  if (!work) return say({ on: "unsupported", do: command.do });
  const outcome = work(command);
  const as = outcome && command.as;
  if (as === undefined) return outcome?.catch?.(complain);
  outcome.then(
    (value) => say({ on: "result", as, value: value ?? null }),
    (error) => failure(as, error),
  );
}

say({ on: "hello", sdk: "js", status: "asked" });
const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => line.trim() && run(JSON.parse(line)));
lines.on("close", () => process.exit(0));
