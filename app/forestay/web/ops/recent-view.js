// The last events of some kinds, and how often each came: gaps and resyncs with their causes, or refusals.

import * as api from "./api.js";
import { element } from "./dom.js";
import { eventTable } from "./events.js";
import { ago, part } from "./parts.js";
import { Table } from "./table.js";
import { count } from "./words.js";

const LIMIT = 500;

export class RecentView {
  seconds = 5;
  #kinds;
  #sums;
  #events;

  /** `title`, `about`: of the view; `kinds`: which events; `cause(event)`: what they are counted by; `empty`: see Table. */
  constructor({ title, about, kinds, cause, empty }) {
    Object.assign(this, { title, about });
    this.#kinds = kinds;
    this.#sums = new Sums(cause, empty);
    this.#events = eventTable("Each of them", empty);
    this.element = element("div", {}, part("By cause", this.#sums.element), part("Each of them", this.#events.element));
  }

  load(signal) {
    return api.read("/v1/recent", { kind: this.#kinds, limit: LIMIT }, signal);
  }

  show({ recent }) {
    this.#sums.show(recent);
    this.#events.show(recent);
  }
}

/** How often each cause came. */
class Sums {
  #cause;
  #table;

  constructor(cause, empty) {
    this.#cause = cause;
    this.#table = new Table(
      "By cause",
      [
        { title: "Cause", cell: ({ name }) => name },
        { title: "Times", kind: "number", cell: ({ times }) => count(times) },
        { title: "Users", kind: "number", cell: ({ users }) => (users.size > 0 ? count(users.size) : "") },
        { title: "Last", cell: ({ last }) => ago(last) },
      ],
      ({ name }) => name,
      empty,
    );
    this.element = this.#table.element;
  }

  show(events) {
    const sums = new Map();
    for (const event of events) {
      const name = this.#cause(event);
      const sum = sums.get(name) ?? { name, times: 0, users: new Set(), last: event.at };
      sum.times += event.times ?? 1;
      if (event.user) sum.users.add(event.user);
      sums.set(name, sum);
    }
    this.#table.show([...sums.values()].toSorted((one, other) => other.times - one.times));
  }
}

export function gapsView() {
  return new RecentView({
    title: "Gaps and resyncs",
    about:
      "Gaps: messages that a pod missed on the bus and read from the history, so clients got them late. Resyncs: " +
      "clients were told that messages are missing. Bus: what happened to the connection to Redis, often the cause.",
    kinds: "gap,resync,bus",
    cause: ({ kind, reason, event, room }) =>
      ({ gap: `gap in ${room}`, resync: `resync, ${reason}`, bus: `bus ${event}` })[kind] ?? kind,
    empty: "No gap, no resync, and no trouble with the bus lately.",
  });
}

export function refusedView() {
  return new RecentView({
    title: "Refused",
    about:
      "Turned away: requests to connect. They name a user only where the signature of the token is good, as that of an " +
      "expired one. Refused: requests of clients that are connected.",
    kinds: "refused,turned_away",
    cause: ({ kind, status, code, reason, room }) =>
      kind === "turned_away"
        ? `turned away: ${status} ${code}${reason ? `, ${reason}` : ""}`
        : `refused: ${code}${room ? ` in ${room}` : ""}`,
    empty: "Nobody was refused lately.",
  });
}
