// The rooms of the fleet, those with most traffic or most members first.

import * as api from "./api.js";
import { element } from "./dom.js";
import { bytesRate, known, link, rate } from "./parts.js";
import { Table } from "./table.js";
import { count } from "./words.js";

const LIMIT = 50;
const ORDERS = { members: "Most members first", traffic: "Most deliveries first" };

export class RoomsView {
  title = "Rooms";
  about =
    "The largest rooms of all pods, or those with most deliveries, without personal ones. A room without traffic is " +
    "only in the first list.";
  seconds = 5;
  #order = element(
    "select",
    { id: "rooms-order" },
    ...Object.entries(ORDERS).map(([value, text]) => element("option", { value, text })),
  );
  #note = element("p", { class: "hint" });
  #table = new Table(
    "Rooms",
    [
      { title: "Room", kind: "name", cell: ({ room }) => link("room", room) },
      { title: "Members", kind: "number", cell: ({ members }) => count(members) },
      { title: "Messages", kind: "number", cell: ({ messages }) => known(messages, rate) },
      { title: "Deliveries", kind: "number", cell: ({ deliveries }) => known(deliveries, rate) },
      { title: "Payloads", kind: "number", cell: ({ bytes }) => known(bytes, bytesRate) },
    ],
    ({ room }) => room,
    "There is no such room now.",
  );

  constructor(shell) {
    this.#order.addEventListener("change", () => shell.again());
    const choice = element(
      "p",
      { class: "row" },
      element("label", { for: "rooms-order", text: "Order" }),
      this.#order,
      this.#note,
    );
    this.element = element("div", { class: "stack" }, choice, this.#table.element);
  }

  load(signal) {
    return api.read("/v1/rooms", { by: this.#order.value, limit: LIMIT }, signal);
  }

  show(answer) {
    this.#table.show(answer.rooms);
    this.#note.textContent = noteOf(answer);
  }

  /** The first answer after a pause has no rates yet. */
  early({ seconds }) {
    return seconds === 0;
  }
}

function noteOf({ seconds, exact }) {
  if (seconds === 0) return "The pods begin to count now: rates come with the next answer.";
  const rates = seconds === undefined ? "" : `Rates are of the last ${Math.round(seconds)} s. `;
  return exact === false ? `${rates}A room that is spread over pods, and small on each, may be missing.` : rates;
}
