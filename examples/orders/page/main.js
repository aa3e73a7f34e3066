// The page of the shop. It talks to the gateway alone; the backend gives it tokens, and the gateway asks the backend.

import { Client, RefusedError, UnauthorizedError, UnknownOutcomeError } from "forestay";

const byId = (id) => document.getElementById(id);

/** A token for the next connection, or the next minutes of this one. */
async function getToken() {
  const answer = await fetch("/token", { method: "POST" });
  if (answer.status === 401) throw new UnauthorizedError("not signed in any more");
  if (!answer.ok) throw new Error(`the backend answers ${answer.status}`);
  return answer.text();
}

/** Hands over what was published before, and each message from then on. At the seam some may come twice. */
async function follow(room, take) {
  async function load() {
    try {
      const { messages } = await room.history({ limit: 100 });
      messages.forEach(take);
    } catch {
      // The connection is lost. The next `joined` comes back to it.
    }
  }
  room.on("joined", ({ recovered }) => recovered || load());
  room.on("resync", load);
  room.on("message", take);
  await room.join();
}

/** A state that comes again, or late, changes nothing that is newer. */
const STATES = ["received", "packed", "shipped"];

/** The line with this id, which is made at the top of the list where there is none. */
function lineOf(list, id, text) {
  const found = byId(id);
  if (found) return found;
  const line = Object.assign(document.createElement("li"), { id });
  line.append(Object.assign(document.createElement("span"), { textContent: text }), " ", document.createElement("b"));
  byId(list).prepend(line);
  return line;
}

function showOrder({ payload: { id, item, state } }) {
  const told = lineOf("orders", `order-${id}`, item).lastChild;
  if (STATES.indexOf(state) > STATES.indexOf(told.textContent)) told.textContent = state;
}

function showQuestion({ payload: { text, name }, offset }) {
  lineOf("questions", `question-${offset}`, text).lastChild.textContent = name;
}

/** Sends what is in a field. If the answer is no, its sentence is shown, and the text stays. */
function submits(form, field, send) {
  const problem = byId(`${form}-error`);
  byId(form).addEventListener("submit", async (event) => {
    event.preventDefault();
    problem.textContent = "";
    try {
      await send(byId(field).value);
      byId(field).value = "";
    } catch (error) {
      if (error instanceof UnknownOutcomeError) problem.textContent = "No answer came. It may have been done.";
      else if (error instanceof RefusedError) problem.textContent = error.message || error.code;
      else throw error;
    }
  });
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
  const questions = client.room("shop.questions");
  follow(client.room(room), showOrder);
  follow(questions, showQuestion);
  follow(client.room("shop.online"), ({ payload }) => {
    byId("online").textContent = payload.online;
  });
  submits("form", "item", (item) => client.call("orders.create", { item }));
  submits("ask", "question", (text) => questions.publish({ text }));
}

byId("entrance").addEventListener("submit", async (event) => {
  event.preventDefault();
  const headers = { "Content-Type": "application/json" };
  const body = JSON.stringify({ name: byId("name").value });
  if ((await fetch("/session", { method: "POST", headers, body })).ok) await begin();
});

await begin();
