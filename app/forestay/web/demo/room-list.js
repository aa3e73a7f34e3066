// Lists the rooms of this page with their unread counts, and has a field to join another room.

import { byId, element } from "./dom.js";

const STATES = { joining: "joining…", away: "away", left: "out" };

export class RoomList {
  #list = byId("room-list");
  #form = byId("join-form");
  #name = byId("join-name");
  #button = byId("join-button");
  #error = byId("join-error");
  #unread = byId("unread");
  #on;

  /** `on`: `join(name)`, `select(name)`. */
  constructor(on) {
    this.#on = on;
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#error.textContent = "";
      const name = this.#name.value.trim();
      if (name === "") return;
      on.join(name);
      this.#name.value = "";
    });
    this.#name.addEventListener("input", () => (this.#error.textContent = ""));
  }

  show(rooms, connected) {
    this.#button.disabled = !connected;
    // The list is rebuilt, and the keyboard focus must stay on the same room.
    const focused = this.#list.contains(document.activeElement) ? document.activeElement.dataset.room : null;
    this.#list.replaceChildren(...[...rooms.all.values()].map((room) => this.#row(room, rooms.selected)));
    if (focused !== null) this.#list.querySelector(`[data-room="${CSS.escape(focused)}"]`)?.focus();
    const unread = [...rooms.all.values()].reduce((sum, room) => sum + room.unread, 0);
    this.#unread.hidden = unread === 0;
    this.#unread.textContent = unread;
  }

  refused(name, error) {
    this.#error.textContent = `${name}: ${error.message ?? error.code}`;
    if (this.#name.value === "") this.#name.value = name;
  }

  #row(room, selected) {
    const button = element(
      "button",
      { type: "button", "data-room": room.name, "aria-current": room.name === selected ? "true" : false },
      element("span", { class: "room-name", text: room.name }),
      STATES[room.state] ? element("span", { class: "room-state", text: STATES[room.state] }) : null,
      room.unread > 0
        ? element("span", { class: "badge", text: room.unread, "aria-label": `${room.unread} unread` })
        : null,
    );
    button.addEventListener("click", () => this.#on.select(room.name));
    return element("li", {}, button);
  }
}
