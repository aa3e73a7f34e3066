// Shows the entries of the selected room, or a hint if there are none.

import { byId } from "./dom.js";
import { entryView, refreshEntry } from "./entry-view.js";
import { follow } from "./follow.js";

const STATES = { joining: "joining…", away: "not connected", left: "you are out" };

export class Talk {
  #title = byId("talk-title");
  #state = byId("talk-state");
  #leave = byId("leave");
  #list = byId("entries");
  #following = follow(this.#list);
  #empty = byId("talk-empty");
  #emptyText = byId("talk-empty-text");
  #secondTab = byId("second-tab");
  #room = null;
  #shown = new Map();

  /** `on`: `leave(name)`, `secondTab()`. */
  constructor(on) {
    this.#leave.addEventListener("click", () => this.#room && on.leave(this.#room.name));
    this.#secondTab.addEventListener("click", () => on.secondTab());
  }

  /** Shows `room`, or that no room is selected. */
  show(room) {
    this.#title.textContent = room?.name ?? "No room";
    this.#state.textContent = STATES[room?.state] ?? "";
    this.#leave.hidden = room === null;
    if (room !== this.#room) {
      this.#room = room;
      this.#shown.clear();
      this.#list.replaceChildren();
      let previous = null;
      for (const entry of room?.entries ?? []) {
        this.#append(entry, previous);
        previous = entry;
      }
      this.#following.toEnd();
    }
    this.#showEmpty();
  }

  added(room, entry, dropped) {
    if (room !== this.#room) return;
    this.#append(entry, room.entries.at(-2) ?? null);
    if (entry.own) this.#following.toEnd();
    if (dropped !== null) {
      this.#shown.get(dropped.id)?.remove();
      this.#shown.delete(dropped.id);
    }
    this.#showEmpty();
  }

  changed(entry) {
    const view = this.#shown.get(entry.id);
    if (view === undefined) return;
    refreshEntry(view, entry);
    this.#following.settle();
  }

  moved(room, entry) {
    if (room !== this.#room) return;
    this.#shown.get(entry.id)?.remove();
    this.#append(entry, room.entries.at(-2) ?? null);
  }

  #append(entry, previous) {
    const view = entryView(entry, previous);
    this.#shown.set(entry.id, view);
    this.#list.append(view);
  }

  #showEmpty() {
    const empty = this.#room === null || this.#room.entries.length === 0;
    this.#empty.hidden = !empty;
    this.#list.hidden = empty;
    this.#secondTab.hidden = this.#room === null || this.#room.personal;
    if (empty) this.#emptyText.textContent = emptyWords(this.#room);
  }
}

function emptyWords(room) {
  if (room === null) return "Join a room to talk.";
  if (room.personal) return "Quiet. Messages from backends to you alone arrive here.";
  return "Quiet so far. Say something, or open a second tab to have somebody to talk to.";
}
