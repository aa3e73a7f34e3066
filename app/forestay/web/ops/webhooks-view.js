// What waits for the receiver of webhooks, and the events that could not be delivered.

import * as api from "./api.js";
import { element } from "./dom.js";
import { at, button, part, plural, Tiles } from "./parts.js";
import { Table } from "./table.js";
import { count } from "./words.js";

// The lag from which the alert fires, in seconds.
const LATE = 300;

export class WebhooksView {
  title = "Webhooks";
  about = "What waits for the receiver of webhooks, and the dead letters: events that could not be delivered.";
  seconds = 5;
  #number = 0;
  #tiles = new Tiles();
  #resume;
  #replay;
  #dead = new Table(
    "Dead letters",
    [
      { title: "Since", cell: ({ time }) => at(Date.parse(time) / 1000) },
      { title: "Event", cell: ({ event }) => event?.type ?? "" },
      { title: "Why", kind: "wide", cell: ({ reason }) => reason },
      { title: "Tries", kind: "number", cell: ({ attempts }) => count(attempts) },
      { title: "Id", kind: "id", cell: ({ id }) => id },
    ],
    ({ id }) => id,
    "There is no dead letter.",
  );

  constructor(shell) {
    this.#resume = button("Send again after the 410…", () => resume(shell));
    this.#replay = button("Replay the dead letters…", () => replay(shell, this.#number));
    this.element = element(
      "div",
      {},
      element("p", { class: "row" }, this.#resume, this.#replay),
      this.#tiles.element,
      part("Dead letters", this.#dead.element),
    );
  }

  async load(signal) {
    const [now, { dead }] = await Promise.all([
      api.read("/v1/webhooks", {}, signal),
      api.read("/v1/webhooks/dead", { limit: 50 }, signal),
    ]);
    return { now, dead };
  }

  show({ now, dead }) {
    this.#number = now.dead;
    this.#resume.hidden = !now.stopped;
    this.#replay.hidden = now.dead === 0;
    this.#tiles.show([
      { name: "Waiting", value: count(now.waiting), about: "events, on all pods together" },
      { name: "The oldest waits", value: `${Math.round(now.lag)} s`, tone: now.lag > LATE ? "bad" : null },
      { name: "Dead letters", value: count(now.dead), tone: now.dead > 0 ? "warning" : null },
      {
        name: "Receiver",
        value: now.stopped ? "stopped" : "asked",
        about: now.stopped ? "it answered 410" : "",
        tone: now.stopped ? "bad" : null,
      },
    ]);
    this.#dead.show(dead);
  }
}

function resume(shell) {
  shell.ask({
    title: "Send webhooks again",
    effect: "All pods will send events to the receiver again, those that wait first.",
    label: "Send again",
    async run() {
      await api.change("POST", "/v1/webhooks/resume");
      shell.done("Webhooks are sent again.");
    },
  });
}

function replay(shell, number) {
  shell.ask({
    title: "Replay the dead letters",
    effect: `${plural(number, "event")} will be sent to the receiver again, about 1,000 of them at once.`,
    label: "Replay",
    async run() {
      const { replayed, more } = await api.change("POST", "/v1/webhooks/dead/replay");
      shell.done(`Replayed ${plural(replayed, "event")}.${more ? " There are more: replay again." : ""}`);
    },
  });
}
