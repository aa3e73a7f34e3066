// The page of the dashboard: the connection, and the numbers as cards, lines and a table.

import { Client } from "forestay";
import { Series } from "./series.js";

/** Messages to begin with, and messages that a line shows. */
const FIRST = 40;
const SHOWN = 120;
/** In milliseconds. */
const STALE = 3000;

const CARDS = [
  { name: "visitors", title: "Visitors", text: (value) => value.toLocaleString() },
  { name: "orders", title: "Orders", text: (value) => value.toLocaleString() },
  { name: "revenue", title: "Revenue", text: (value) => `${value.toLocaleString()} €` },
  { name: "ms", title: "Response", text: (value) => `${Math.round(value)} ms`, mean: true },
];

const byId = (id) => document.getElementById(id);
const series = new Series(SHOWN);
let last = Infinity;

async function getToken() {
  const answer = await fetch("/token", { method: "POST" });
  if (!answer.ok) throw new Error(`the backend answers ${answer.status}`);
  return answer.text();
}

/** The sum over all cities, or their mean. */
function total({ regions }, { name, mean }) {
  const sum = regions.reduce((before, region) => before + region[name], 0);
  return mean ? sum / regions.length : sum;
}

function card(name, title) {
  const part = document.createElement("div");
  const line = `<svg viewBox="0 0 ${SHOWN - 1} 30" preserveAspectRatio="none" aria-hidden="true"><polyline /></svg>`;
  part.innerHTML = `<dt>${title}</dt><dd id="${name}"></dd>${line}`;
  return part;
}

/** The points of a line that ends at the right edge, between its least and its largest value. */
function points(values) {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const height = (value) => (most === least ? 15 : 28 - (26 * (value - least)) / (most - least));
  return values.map((value, index) => `${SHOWN - values.length + index},${height(value).toFixed(1)}`).join(" ");
}

function row({ city, ...values }) {
  const line = document.createElement("tr");
  line.append(Object.assign(document.createElement("th"), { scope: "row", textContent: city }));
  for (const { name, text } of CARDS) {
    line.append(Object.assign(document.createElement("td"), { textContent: text(values[name]) }));
  }
  return line;
}

function draw() {
  const states = series.payloads;
  if (states.length === 0) return;
  for (const each of CARDS) {
    const values = states.map((state) => total(state, each));
    byId(each.name).textContent = each.text(values.at(-1));
    byId(each.name).parentElement.querySelector("polyline").setAttribute("points", points(values));
  }
  byId("cities").replaceChildren(...states.at(-1).regions.map(row));
  byId("seen").textContent = states.length;
  byId("missing").textContent = series.missing;
}

const gateway = await (await fetch("/gateway")).json();
const client = new Client(gateway.url, { getToken });
const room = client.room(gateway.room);

/** What was published before: the page has everything at once, and does not wait for the next message. */
async function load() {
  try {
    const { epoch, messages } = await room.history({ limit: FIRST });
    for (const message of messages) series.take({ ...message, epoch });
    draw();
  } catch {
    // The connection is lost. The next `joined` comes back to it.
  }
}

function tell() {
  const silence = Date.now() - last;
  byId("state").textContent =
    client.state !== "connected"
      ? "Connecting. These are the last numbers that came."
      : silence > STALE
        ? `No numbers for ${Math.round(silence / 1000)} seconds.`
        : "Live.";
}

room.on("joined", ({ recovered }) => recovered || load());
room.on("resync", load);
room.on("message", (message) => {
  last = Date.now();
  series.take(message);
  draw();
});
client.on("state", tell);
setInterval(tell, 500);
for (const { name: id, title } of CARDS) byId("cards").append(card(id, title));
client.connect();
await room.join();
