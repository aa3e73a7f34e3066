// Lists the people in the room: the members that the gateway named, and the senders of messages.

import { byId, element } from "./dom.js";
import { personFlag } from "./flag.js";

const ORDER = { here: 0, heard: 1, gone: 2 };
const WORDS = { here: "here", heard: "seen", gone: "left" };

export class People {
  #title = byId("people-title");
  #list = byId("people");
  #hint = byId("people-hint");

  show(room, self) {
    const people = room === null ? [] : [...room.people].sort(byPresence);
    const here = room?.state === "joined" ? people.filter(([, seen]) => seen === "here").length : 0;
    this.#title.textContent = here > 0 ? `People · ${here} here` : "People";
    this.#list.replaceChildren(...people.map(([user, seen]) => row(user, seen, user === self)));
    this.#hint.textContent = hint(room);
  }
}

function byPresence([a, seenA], [b, seenB]) {
  return ORDER[seenA] - ORDER[seenB] || a.localeCompare(b);
}

function row(user, seen, self) {
  return element(
    "li",
    { class: "person", "data-seen": seen },
    personFlag(user),
    element("span", { class: "person-name", text: user }),
    element("span", { class: "person-state", text: self ? "you" : WORDS[seen] }),
  );
}

function hint(room) {
  if (room === null) return "Join a room to see who is there.";
  if (room.personal) return "Your own room: backends speak to you here, and only to you.";
  return room.membersKnown ? "" : "The gateway did not name everybody on joining, so these are the people seen since.";
}
