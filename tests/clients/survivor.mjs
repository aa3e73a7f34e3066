// Keeps connections of both entries of the package open, through all that happens to them, and prints every event as a
// line of JSON. It runs in any runtime that has a WebSocket of its own.

import process from "node:process";
import { Client } from "forestay";
import { ReconnectingWebSocket } from "forestay/reconnecting";

const { doors, calm, silent, long, short } = JSON.parse(process.argv[2]);

const say = (who, what) => console.log(JSON.stringify({ who, what }));

/** As `Client` shows a token. */
const offer = (token) => [
  "forestay.v1",
  `base64url.bearer.forestay.${btoa(token).replace(/=/g, "").replace(/\+/g, "-").replace(/\//g, "_")}`,
];

/** Its own limit is far away: what waits for it in place of an event is noticed. */
const PATIENT = { connectTimeout: 300_000, maxDelay: 100 };

function client(who, url, first = long) {
  let bearer = first;
  const one = new Client(url, { ...PATIENT, getToken: () => bearer });
  one.on("state", ({ state, code }) => {
    if (code === 4401) bearer = long;
    say(who, `${state} ${code ?? ""}`.trim());
  });
  one.on("waiting", ({ code }) => say(who, `waiting ${code}`));
  const room = one.room("chat.lobby");
  room.on("message", ({ payload }) => say(who, `heard ${payload}`));
  room.join().then(
    () => room.publish("hello"),
    ({ name }) => say(who, name),
  );
  one.connect();
}

function socket(who, url, protocols, changes = {}) {
  /** What is made and has not ended: an attempt that ends twice, or never, shows. */
  let made = 0;
  let isOpen = false;
  class Counted extends WebSocket {
    constructor(...given) {
      super(...given);
      made++;
    }
  }
  const options = { ...PATIENT, baseDelay: 20, maxRetries: 1_000, WebSocket: Counted, ...changes };
  const one = new ReconnectingWebSocket(url, protocols, options);
  let ended = 0;
  one.addEventListener("error", ({ message }) => message && say(who, message));
  one.addEventListener("open", () => {
    isOpen = true;
    say(who, made === ended + 1 ? "open" : `${made} made, ${ended} ended`);
  });
  one.addEventListener("close", ({ code }) => {
    ended++;
    if (code === 4401) protocols.renew?.();
    say(who, `${isOpen ? "lost" : "refused"} ${code}${one.readyState === one.CLOSED ? " for good" : ""}`);
    isOpen = false;
  });
  return one;
}

function renewing() {
  let bearer = short;
  const protocols = async () => offer(bearer);
  protocols.renew = () => {
    bearer = long;
  };
  return protocols;
}

for (const [name, url] of Object.entries(doors)) {
  client(`client ${name}`, url);
  socket(`socket ${name}`, url, offer(long));
}
client("client expiring", calm, short);
socket("socket expiring", calm, renewing());
socket("socket expiring, plain", calm, offer(short));

socket("socket hanging", silent, offer(long), { connectTimeout: 500, maxRetries: 2 });
const early = socket("socket early", silent, offer(long));
setTimeout(() => early.close(), 200);

// As long as somebody listens.
process.stdin.on("end", () => process.exit(0));
process.stdin.resume();
