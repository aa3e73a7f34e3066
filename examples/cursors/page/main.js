// The page of the cursors: the connection, who is here, and where everybody is.

import { Client } from "forestay";
import { decode, encode } from "./position.js";

/** The type of our binary messages in this room; others could have other types. */
const TYPE = 1;
/** In milliseconds: 25 messages a second, however fast the mouse is. */
const PACE = 40;
/** The part of the board that one press of an arrow key is. */
const STEP = 0.02;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

const byId = (id) => document.getElementById(id);
const board = byId("board");
/** By user: what the token of each says. */
const people = new Map();
/** By number: the elements. */
const cursors = new Map();
const mine = { x: 0.5, y: 0.5, number: 0 };
let heard = 0;
let waiting = false;
let lastSent = 0;

async function getToken() {
  const answer = await fetch("/token", { method: "POST" });
  if (!answer.ok) throw new Error(`the backend answers ${answer.status}`);
  return answer.text();
}

const gateway = await (await fetch("/gateway")).json();
const client = new Client(gateway.url, { getToken });
const room = client.room(gateway.room);

/** Puts the cursor of a number to a place, and makes it where there is none yet. */
function place({ number, x, y }) {
  if (!cursors.has(number)) {
    const cursor = Object.assign(document.createElement("div"), { className: "cursor" });
    cursor.dataset.number = number;
    cursors.set(number, cursor);
    board.append(cursor);
    label(number);
  }
  const { style } = cursors.get(number);
  style.setProperty("--x", x);
  style.setProperty("--y", y);
}

function label(number) {
  const info = [...people.values()].find((each) => each.number === number);
  const cursor = cursors.get(number);
  if (!info || !cursor) return;
  cursor.textContent = info.name;
  cursor.style.setProperty("--colour", info.colour);
}

function draw() {
  const items = [...people].map(([user, { name: text, colour }]) => {
    const item = document.createElement("li");
    item.textContent = user === client.user ? `${text} (you)` : text;
    item.style.setProperty("--colour", colour);
    return item;
  });
  byId("people").replaceChildren(...items);
}

function enter(user, info) {
  people.set(user, info);
  label(info.number);
}

function leave(user) {
  const number = people.get(user)?.number;
  people.delete(user);
  cursors.get(number)?.remove();
  cursors.delete(number);
}

/** Sends where we are: at once, or as soon as the pace allows it. What changes until then goes along. */
function send() {
  place(mine);
  if (waiting) return;
  waiting = true;
  setTimeout(
    () => {
      waiting = false;
      lastSent = Date.now();
      // A place that does not get through is old a moment later, so it is not kept for the next connection.
      if (room.state === "joined" && client.state === "connected") room.send(TYPE, encode(mine)).catch(() => {});
    },
    Math.max(0, lastSent + PACE - Date.now()),
  );
}

room.on("joined", ({ members }) => {
  const here = new Set(members.members.map(({ user }) => user));
  for (const user of people.keys()) if (!here.has(user)) leave(user);
  for (const { user, info } of members.members) enter(user, info);
  mine.number = people.get(client.user).number;
  draw();
  send();
});
room.on("user-joined", ({ user, info }) => {
  enter(user, info);
  draw();
  // The newcomer does not know where we are. Not all tell it in the same moment.
  setTimeout(send, Math.random() * 500);
});
room.on("user-left", ({ user }) => {
  leave(user);
  draw();
});
room.on("binary", ({ data }) => {
  heard += 1;
  const position = decode(data);
  if (position && position.number !== mine.number) place(position);
});

/** Binary messages of our type are about this room. A page that got no answer to that would hear none of them. */
function bind() {
  room.bind(TYPE).catch(() => setTimeout(bind, 1000));
}

function moveTo(x, y) {
  mine.x = Math.min(1, Math.max(0, x));
  mine.y = Math.min(1, Math.max(0, y));
  send();
}

board.addEventListener("pointermove", ({ clientX, clientY }) => {
  const { left, top, width, height } = board.getBoundingClientRect();
  moveTo((clientX - left) / width, (clientY - top) / height);
});
board.addEventListener("keydown", (event) => {
  const arrow = ARROWS[event.key];
  if (!arrow) return;
  event.preventDefault();
  moveTo(mine.x + arrow[0] * STEP, mine.y + arrow[1] * STEP);
});

client.on("state", ({ state }) => {
  byId("state").textContent = state === "connected" ? "Connected." : "Connecting. Nobody sees your cursor.";
});
setInterval(() => {
  byId("rate").textContent = heard;
  heard = 0;
}, 1000);
client.connect();
bind();
await room.join();
