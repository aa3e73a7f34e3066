// Drains as they run: how many connections each pod still has, and how long it may take.

import * as api from "./api.js";
import { element } from "./dom.js";
import { ago, plural, state } from "./parts.js";
import { Table } from "./table.js";
import { count } from "./words.js";

export class DrainsView {
  title = "Drains";
  about = "Pods that move their clients to others. A pod that ended while you looked stays in the list.";
  seconds = 2;
  #seen = new Map();
  #table = new Table(
    "Drains",
    [
      { title: "Pod", kind: "id", cell: (pod) => pod.host || pod.pod },
      { title: "State", cell: (pod) => stateOf(pod) },
      { title: "Left", kind: "number", cell: ({ drain }) => count(drain.left) },
      { title: "Of", kind: "number", cell: ({ drain }) => count(drain.from) },
      { title: "Progress", cell: (pod) => progress(pod) },
      { title: "Began", cell: ({ drain }) => ago(drain.begun_at) },
      { title: "Window", cell: ({ drain }) => `${Math.round(drain.window)} s` },
    ],
    ({ pod }) => pod,
    "No pod drains.",
  );

  constructor() {
    this.element = this.#table.element;
  }

  load(signal) {
    return api.read("/v1/info", {}, signal);
  }

  show({ pods, complete }) {
    const there = new Set(pods.map(({ pod }) => pod));
    // A pod that does not answer may still be there.
    if (complete) for (const [id, pod] of this.#seen) if (!there.has(id)) this.#seen.set(id, { ...pod, gone: true });
    for (const pod of pods) if (pod.drain) this.#seen.set(pod.pod, pod);
    this.#table.show([...this.#seen.values()].toSorted((one, other) => other.drain.begun_at - one.drain.begun_at));
  }
}

function stateOf({ gone, drain, state: now }) {
  if (gone) return state("ended", null);
  if (drain.left === 0) return state(`${now}, without clients`, "good");
  const late = Date.now() / 1000 > drain.begun_at + drain.window;
  return late ? state(`${now}, over its window`, "bad") : state(now, "warning");
}

function progress({ pod, host, drain }) {
  const moved = Math.max(0, drain.from - drain.left);
  const label = `${plural(moved, "connection")} of ${host || pod} gone`;
  return element("progress", {
    max: Math.max(1, drain.from),
    value: drain.from === 0 ? 1 : moved,
    "aria-label": label,
  });
}
