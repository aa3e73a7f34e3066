// Shows the facts of the welcome message, and how the last connection ended.

import { judge } from "./closes.js";
import { byId, element } from "./dom.js";
import { count, milliseconds, size } from "./words.js";

export class Facts {
  #list = byId("facts");
  #facts = new Map();

  constructor() {
    this.#show();
  }

  welcomed({ connection, user, protocol, limits = {}, ping_interval_ms: every }) {
    this.#facts = new Map([
      ["User", user],
      ["Connection", connection],
      ["Protocol", protocol],
      ["Message", limits.message_bytes && `at most ${size(limits.message_bytes)}`],
      ["Rate", limits.rate === 0 ? "no limit" : limits.rate && `${count(limits.rate)} messages per second`],
      ["Rooms", limits.rooms && `at most ${count(limits.rooms)}`],
      ["Pings", every && `every ${milliseconds(every)}`],
      ["Last close", this.#facts.get("Last close")],
    ]);
    this.#show();
  }

  measured(ms) {
    this.#facts.set("Round trip", milliseconds(ms));
    this.#show();
  }

  closed(close) {
    const { name, meaning } = judge(close.code);
    const reason = close.reason ? ` “${close.reason}”` : "";
    this.#facts.set("Last close", `${close.code} ${name}${reason}. ${meaning}`);
    this.#facts.delete("Round trip");
    this.#show();
  }

  #show() {
    const facts = [...this.#facts].filter(([, value]) => value !== undefined && value !== null);
    const rows = facts.map(([name, value]) =>
      element("div", {}, element("dt", { text: name }), element("dd", { text: String(value) })),
    );
    const none = element("div", {}, element("dd", { class: "hint", text: "Not connected yet." }));
    this.#list.replaceChildren(...(rows.length > 0 ? rows : [none]));
  }
}
