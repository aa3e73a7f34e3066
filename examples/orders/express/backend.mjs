// A shop that tells its customers what becomes of their orders: tokens, publishing and webhooks, on Express.

import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import express from "express";
import jwt from "jsonwebtoken";
import { Webhook, WebhookVerificationError } from "standardwebhooks";

const STATES = ["received", "packed", "shipped"];
const ATTEMPTS = 5;

const { PORT, FORESTAY_URL, FORESTAY_API, FORESTAY_API_KEY, FORESTAY_JWT_SECRET } = process.env;
const app = express();
const webhook = new Webhook(process.env.FORESTAY_WEBHOOKS_SECRET);
const random = (bytes) => randomBytes(bytes).toString("hex");

// By the id in the cookie. An application of yours has its own log-in, and a database, here.
const sessions = new Map();

/** Puts the user of a request into `request.user`, where there is one. */
app.use((request, _, next) => {
  const [, session] = request.headers.cookie?.match(/(?:^|; )session=([^;]+)/) ?? [];
  request.user = sessions.get(session);
  next();
});

function signedIn(request, response, next) {
  if (request.user) next();
  else response.status(401).json({ detail: "sign in first" });
}

/** The text in a field of the body. Without one, or with one that is too long, the request is refused. */
const text = (field, longest) => (request, response, next) => {
  request.text = request.body?.[field];
  if (typeof request.text === "string" && request.text.length >= 1 && request.text.length <= longest) next();
  else response.status(422).json({ detail: `${field} is a text of 1 to ${longest} characters` });
};

app.post("/session", express.json(), text("name", 30), (request, response) => {
  const [session, id] = [random(24), random(6)];
  sessions.set(session, { id, name: request.text, room: `orders.${id}` });
  response.cookie("session", session, { httpOnly: true, sameSite: "strict" }).sendStatus(204);
});

/** What the page has to know to begin. `name` is null where nobody is signed in. */
app.get("/session", ({ user }, response) => {
  response.json({ name: user?.name ?? null, room: user?.room ?? null, gateway: FORESTAY_URL });
});

// Tokens: who somebody is, and what that user may do.

app.post("/token", signedIn, ({ user }, response) => {
  const rooms = { [user.room]: "rh", "shop.online": "rh" };
  response.type("text").send(jwt.sign({ rooms }, FORESTAY_JWT_SECRET, { subject: user.id, expiresIn: "10m" }));
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
    await publish(user.room, { ...order, state });
    await sleep(1000);
  }
}

app.post("/orders", signedIn, express.json(), text("item", 100), (request, response) => {
  const order = { id: random(4), item: request.text };
  fulfil(request.user, order).catch((failure) => console.error("an order stays where it is:", failure.message));
  response.status(202).json(order);
});

// Webhooks: what happens at the gateway is told to the backend.

const online = new Set();
/** By user: the newest event that is known. Events may come twice, and in any order. */
const newest = new Map();

/** Verifies what comes, for anybody could send it, and tells the pages how many users are online. */
app.post("/webhooks", express.raw({ type: "application/json", limit: "2mb" }), async (request, response) => {
  let batch;
  try {
    batch = webhook.verify(request.body, request.headers);
  } catch (error) {
    if (!(error instanceof WebhookVerificationError)) throw error;
    return response.status(401).json({ detail: "the signature is wrong" });
  }
  for (const { type, data, sequence } of batch.data.events) {
    if (sequence > (newest.get(data.user) ?? "")) {
      newest.set(data.user, sequence);
      online[type === "user.online" ? "add" : "delete"](data.user);
    }
  }
  // If this fails, the answer is 500, and the events come again.
  await publish("shop.online", { online: online.size });
  response.sendStatus(204);
});

app.use("/forestay", express.static(process.env.FORESTAY_PAGE_FILES));
app.use(express.static(new URL("../page", import.meta.url).pathname));
app.listen(Number(PORT), "127.0.0.1");
