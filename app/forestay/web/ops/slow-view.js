// The clients that read too slowly now, those with the most waiting first.

import * as api from "./api.js";
import { connectionTable } from "./connections.js";
import { element } from "./dom.js";
import { eventTable } from "./events.js";
import { part } from "./parts.js";

export class SlowView {
  title = "Slow readers";
  about = "Clients that do not take their messages as fast as they come, and so miss some of them or are disconnected.";
  seconds = 5;
  #now;
  #past = eventTable("Lately", "No client was too slow lately.");

  constructor(shell) {
    this.#now = connectionTable(shell, "Slow readers", "No client misses messages now.");
    this.element = element("div", {}, part("Now", this.#now.element), part("Lately", this.#past.element));
  }

  async load(signal) {
    const [now, past] = await Promise.all([
      api.read("/v1/slow", { limit: 100 }, signal),
      api.read("/v1/recent", { kind: "slow", limit: 100 }, signal),
    ]);
    return { now: now.connections, past: past.recent, complete: now.complete && past.complete };
  }

  show({ now, past }) {
    this.#now.show(now);
    this.#past.show(past);
  }
}
