// A shop that tells its customers what becomes of their orders: tokens, publishing, webhooks and hooks, on Express.

import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import express from "express";
import jwt from "jsonwebtoken";
import { Webhook } from "standardwebhooks";

const STATES = ["received", "packed", "shipped"];
const ATTEMPTS = 5;

const { PORT, FORESTAY_URL, FORESTAY_API, FORESTAY_API_KEY, FORESTAY_JWT_SECRET } = process.env;
const app = express();
const random = (bytes) => randomBytes(bytes).toString("hex");
/** The room with the orders of a user. */
const ordersOf = (user) => `orders.${user}`;

// By the id in the cookie. An application of yours has its own log-in, and a database, here.
const sessions = new Map();

/** Puts the user of a request into `request.user`, where there is one. */
app.use((request, _, next) => {
  const [, session] = request.headers.cookie?.match(/(?:^|; )session=([^;]+)/) ?? [];
  request.user = sessions.get(session);
  next();
});

app.post("/session", express.json(), (request, response) => {
  const name = request.body?.name;
  if (typeof name !== "string" || name.length < 1 || name.length > 30) {
    return response.status(422).json({ detail: "a name has 1 to 30 characters" });
  }
  const session = random(24);
  sessions.set(session, { id: random(6), name });
  response.cookie("session", session, { httpOnly: true, sameSite: "strict" }).sendStatus(204);
});

/** What the page has to know to begin. `name` is null where nobody is signed in. */
app.get("/session", ({ user }, response) => {
  response.json({ name: user?.name ?? null, room: user ? ordersOf(user.id) : null, gateway: FORESTAY_URL });
});

// Tokens: who somebody is, and what that user may do.

app.post("/token", ({ user }, response) => {
  if (!user) return response.status(401).json({ detail: "sign in first" });
  const claims = {
    rooms: { [ordersOf(user.id)]: "rh", "shop.online": "rh", "shop.questions": "rwh" },
    info: { name: user.name },
  };
  response.type("text").send(jwt.sign(claims, FORESTAY_JWT_SECRET, { subject: user.id, expiresIn: "10m" }));
});

// Publishing: what happens is told to those whom it concerns.

/**
 * Publishes a message, again where it is not known to be published. With the same key it is published once. Rejects
 * where the gateway refuses it, and with what prevented it last.
 */
async function publish(room, payload) {
  const request = {
    method: "POST",
    headers: { Authorization: `Bearer ${FORESTAY_API_KEY}`, "Idempotency-Key": random(8) },
    body: JSON.stringify({ payload }),
  };
  for (let attempt = 1; ; attempt += 1) {
    try {
      const answer = await fetch(`${FORESTAY_API}/rooms/${room}/messages`, {
        ...request,
        signal: AbortSignal.timeout(5000),
      });
      if (answer.ok) return;
      const failure = new Error(`${answer.status}: ${await answer.text()}`);
      if (answer.status < 500) return Promise.reject(failure);
      throw failure;
    } catch (failure) {
      if (attempt === ATTEMPTS) throw failure;
    }
    await sleep(200 * 2 ** attempt);
  }
}

async function fulfil(user, order) {
  for (const state of STATES) {
    await publish(ordersOf(user), { ...order, state });
    await sleep(1000);
  }
}

// What the gateway sends is signed, each kind with its own key. Anybody else could send it, too.

/** What verifies a request, and puts its body into `request.verified`. */
function signedWith(secret) {
  const webhook = new Webhook(secret);
  const verify = (request, response, next) => {
    try {
      request.verified = webhook.verify(request.body, request.headers);
    } catch {
      return response.status(401).json({ detail: "the signature is wrong" });
    }
    next();
  };
  return [express.raw({ type: "application/json", limit: "2mb" }), verify];
}

// Webhooks: what happens at the gateway is told to the backend.

// In memory, as the sessions are: an application of yours keeps both where a restart does not lose them.
const online = new Set();
/** By user: the newest event that is known. Events may come twice, and in any order. */
const newest = new Map();

/** Tells the pages how many users are online. */
app.post("/webhooks", signedWith(process.env.FORESTAY_WEBHOOKS_SECRET), async ({ verified }, response) => {
  for (const { type, data, sequence } of verified.data.events) {
    if (sequence > (newest.get(data.user) ?? "")) {
      newest.set(data.user, sequence);
      online[type === "user.online" ? "add" : "delete"](data.user);
    }
  }
  // If this fails, the answer is 500, and the events come again.
  await publish("shop.online", { online: online.size });
  response.sendStatus(204);
});

// Hooks: the gateway asks the backend what may happen, and hands over what clients call.

const refusal = (code, message) => ({ allow: false, code, message });

/** Answers at once: the client waits for it, and the gateway for two seconds at most. */
app.post("/hooks", signedWith(process.env.FORESTAY_HOOKS_SECRET), ({ verified: { type, data } }, response) => {
  response.json(decide(type, data));
});

function decide(type, { user, claims, method, payload }) {
  if (type === "broadcast" && typeof payload?.text === "string") {
    if (payload.text.includes("://")) return refusal("no_links", "Links are not allowed here.");
    // The name comes from the token: no page can write in another one.
    return { payload: { text: payload.text.slice(0, 500), name: claims.info.name } };
  }
  if (type === "call" && method === "orders.create" && typeof payload?.item === "string") {
    const { length } = payload.item;
    if (length < 1 || length > 100) return refusal("bad_item", "An item has 1 to 100 characters.");
    const order = { id: random(4), item: payload.item };
    fulfil(user, order).catch((failure) => console.error("an order stays where it is:", failure.message));
    return { result: order };
  }
  return refusal("unknown", "The shop does not do that.");
}

app.use("/forestay", express.static(process.env.FORESTAY_PAGE_FILES));
app.use(express.static(new URL("../page", import.meta.url).pathname));
app.listen(Number(PORT), "127.0.0.1");
