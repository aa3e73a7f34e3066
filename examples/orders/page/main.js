// The page of the shop: it orders over HTTP from its backend, and hears through the gateway what becomes of it.

import { Client, UnauthorizedError } from "forestay";

const byId = (id) => document.getElementById(id);
const post = (path, body) =>
  fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

/** A token for the next connection, or the next minutes of this one. */
async function getToken() {
  const answer = await fetch("/token", { method: "POST" });
  if (answer.status === 401) throw new UnauthorizedError("not signed in any more");
  if (!answer.ok) throw new Error(`the backend answers ${answer.status}`);
  return answer.text();
}

/** Hands over what was published before, and then each message, once and in order. */
async function follow(room, take) {
  async function load() {
    try {
      const { messages } = await room.history({ limit: 100 });
      for (const { payload } of messages) take(payload);
    } catch {
      // The connection is lost. The next `joined` comes back to it.
    }
  }
  room.on("joined", ({ recovered }) => recovered || load());
  room.on("resync", load);
  room.on("message", ({ payload }) => take(payload));
  await room.join();
}

/** A state that comes again, or late, changes nothing that is newer. */
const STATES = ["received", "packed", "shipped"];

function show({ id, item, state }) {
  let line = byId(`order-${id}`);
  if (!line) {
    line = Object.assign(document.createElement("li"), { id: `order-${id}` });
    line.append(Object.assign(document.createElement("span"), { textContent: item }), " ", document.createElement("b"));
    byId("orders").prepend(line);
  }
  const told = line.lastChild;
  if (STATES.indexOf(state) > STATES.indexOf(told.textContent)) told.textContent = state;
}

async function begin() {
  const { name, room, gateway } = await (await fetch("/session")).json();
  byId("entrance").hidden = name !== null;
  byId("shop").hidden = name === null;
  if (name === null) return byId("name").focus();
  const client = new Client(gateway, { getToken });
  client.on("state", ({ state }) => {
    byId("state").textContent = {
      connected: `You are ${name}.`,
      connecting: "Connecting. What you miss comes when you are back.",
      disconnected: `The connection has ended: ${client.error?.message}. Reload the page.`,
    }[state];
  });
  client.connect();
  follow(client.room(room), show);
  follow(client.room("shop.online"), ({ online }) => {
    byId("online").textContent = online;
  });
}

byId("entrance").addEventListener("submit", async (event) => {
  event.preventDefault();
  if ((await post("/session", { name: byId("name").value })).ok) await begin();
});

byId("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const field = byId("item");
  const answer = await post("/orders", { item: field.value });
  byId("form-error").textContent = answer.ok ? "" : `Not ordered: the backend answers ${answer.status}.`;
  if (answer.ok) field.value = "";
});

await begin();
