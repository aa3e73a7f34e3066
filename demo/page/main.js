// One client of the SDK, the pods as the balancer sees them, and the button that deploys one.

import { Client } from "./forestay.js";
import { Numbers } from "./numbers.js";

/** Milliseconds. */
const LOOK = 200;
const SHOWN = 240;

const viewer = `viewer-${Math.random().toString(36).slice(2, 8)}`;
const body = document.body.dataset;
const numbers = new Numbers();
let moves = 0;
let breaks = 0;
const states = {};

const byId = (id) => document.getElementById(id);
const part = (name, className, text = "") =>
  Object.assign(document.createElement(name), { className, textContent: text });

function tell(text) {
  const line = part("li", "");
  line.append(part("time", "", new Date().toLocaleTimeString()), ` ${text}`);
  byId("story").prepend(line);
}

function account() {
  const found = { heard: numbers.heard, missing: numbers.missing, repeated: numbers.repeated, moves, breaks };
  for (const [name, value] of Object.entries(found)) byId(name).textContent = value;
  byId("missing").parentElement.classList.toggle("bad", numbers.missing > 0);
  Object.assign(body, { moves, breaks });
}

function show(number) {
  const cell = part("li", "", number);
  cell.dataset.pod = body.pod;
  byId("numbers").append(cell);
  while (byId("numbers").children.length > SHOWN) byId("numbers").firstChild.remove();
}

async function deploy(name) {
  tell(`Deploy: pod ${name} is told to end.`);
  await fetch(`/pods/${name}/deploy`, { method: "POST" });
  await look();
}

function card(pod, quiet) {
  const here = pod.viewers.includes(viewer);
  const item = part("li", "pod");
  Object.assign(item.dataset, { name: pod.name, state: pod.state, here });
  const button = part("button", "primary", `Deploy ${pod.name}`);
  button.disabled = !quiet;
  button.addEventListener("click", () => deploy(pod.name));
  item.append(
    part("h2", "", `Pod ${pod.name}`),
    part("p", "pod-state", pod.state),
    part("p", "hint", `${pod.connections} connection${pod.connections === 1 ? "" : "s"}`),
    part("p", "pod-here", here ? "this page is here" : ""),
    button,
  );
  return item;
}

/** Redrawn only where something changed, so that a button stays the one that the mouse is on. */
function draw(pods) {
  const seen = JSON.stringify(pods);
  if (seen === body.seen) return;
  body.seen = seen;
  const quiet = pods.every(({ state }) => state === "ready");
  byId("pods").replaceChildren(...pods.map((pod) => card(pod, quiet)));
  for (const { name, state } of pods) {
    if (states[name] && states[name] !== state && state !== "draining") tell(`Pod ${name} is ${state}.`);
    states[name] = state;
  }
  body.pod = pods
    .filter(({ viewers }) => viewers.includes(viewer))
    .map(({ name }) => name)
    .join("");
}

async function look() {
  const { pods } = await (await fetch("/state")).json();
  draw(pods);
}

async function begin() {
  const { url, room: name } = await (await fetch("/state")).json();
  const getToken = async () => (await fetch(`/token?viewer=${viewer}`)).text();
  byId("talk").href =
    `${url.replace(/^ws/, "http").replace(/ws$/, "")}#token=${await (await fetch("/token?viewer=guest")).text()}`;
  const client = new Client(url, { getToken });
  client.on("state", ({ oldState, state, code }) => {
    body.state = state;
    if (oldState === "connected") breaks += 1;
    tell(`The client is ${state}${code ? ` (${code})` : ""}.`);
    account();
  });
  client.on("moved", () => {
    moves += 1;
    tell("The client has moved: the next connection was ready before the old one closed.");
    account();
  });
  const room = client.room(name);
  room.on("message", ({ payload }) => {
    if (numbers.hear(payload.n)) show(payload.n);
    account();
  });
  client.connect();
  await room.join();
  setInterval(look, LOOK);
}

await begin();
