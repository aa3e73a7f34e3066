// The page of the chat: who is signed in, the connection, and the rooms.

import { Client, UnauthorizedError } from "forestay";
import { Channel, nameOf } from "./channel.js";

const ROOMS = ["general", "random", "help"];

const byId = (id) => document.getElementById(id);
const item = (text, className = "") => Object.assign(document.createElement("li"), { textContent: text, className });

byId("entrance").addEventListener("submit", async (event) => {
  event.preventDefault();
  const name = byId("name").value;
  const headers = { "Content-Type": "application/json" };
  const answer = await fetch("/session", { method: "POST", headers, body: JSON.stringify({ name }) });
  if (answer.ok) await begin();
  else byId("entrance-error").textContent = "A name has letters, digits, spaces and . ' - only.";
});

/** A token for the next connection, or the next minutes of this one. */
async function getToken() {
  const answer = await fetch("/token", { method: "POST" });
  if (answer.status === 401) throw new UnauthorizedError("not signed in any more");
  if (!answer.ok) throw new Error(`the backend answers ${answer.status}`);
  return answer.text();
}

async function begin() {
  const { user, gateway } = await (await fetch("/session")).json();
  byId("entrance").hidden = user !== null;
  byId("chat").hidden = byId("sign-out").hidden = user === null;
  if (user === null) return byId("name").focus();
  const client = new Client(gateway, { getToken });
  client.on("state", ({ state }) => {
    byId("state").textContent = {
      connected: `You are ${nameOf(user)}.`,
      connecting: "Connecting. What you miss comes when you are back.",
      disconnected: `The connection has ended: ${client.error?.message}. Reload the page.`,
    }[state];
  });
  client.connect();
  talk(client, user);
}

function talk(client, user) {
  let current;
  const channels = ROOMS.map((name) => new Channel(client, name, user, draw));

  function draw() {
    byId("people").replaceChildren(
      ...[...current.people]
        .map(nameOf)
        .sort()
        .map((name) => item(name)),
    );
    const { typing } = current;
    byId("typing").textContent = typing.length
      ? `${typing.join(", ")} ${typing.length > 1 ? "are" : "is"} typing…`
      : "";
    channels.forEach((channel, index) => {
      const button = byId("rooms").children[index].firstChild;
      button.ariaCurrent = String(channel === current);
      button.textContent = channel.unread ? `${channel.name} (${channel.unread} new)` : channel.name;
    });
  }

  function enter(channel) {
    current = channel;
    channel.unread = 0;
    for (const each of channels) each.list.hidden = each !== channel;
    channel.list.scrollTop = channel.list.scrollHeight;
    byId("room-title").textContent = channel.name;
    draw();
    byId("text").focus();
  }

  for (const channel of channels) {
    const button = Object.assign(document.createElement("button"), { type: "button" });
    button.addEventListener("click", () => enter(channel));
    byId("rooms").append(item(""));
    byId("rooms").lastChild.append(button);
    byId("lists").append(channel.list);
    channel.join();
  }
  enter(channels[0]);

  byId("sign-out").addEventListener("click", async () => {
    // Who leaves is gone at once. Whose connection only ends might come back, and is waited for.
    await Promise.all(channels.map((channel) => channel.leave()));
    await fetch("/session", { method: "DELETE" });
    location.reload();
  });
  byId("text").addEventListener("input", () => current.tellTyping());
  byId("composer").addEventListener("submit", async (event) => {
    event.preventDefault();
    const field = byId("text");
    const text = field.value.trim();
    if (!text) return;
    field.value = "";
    byId("composer-error").textContent = "";
    try {
      await current.say(text);
    } catch (error) {
      byId("composer-error").textContent = `Not sent: ${error.message || error.code}`;
      field.value ||= text;
    }
  });
}

await begin();
