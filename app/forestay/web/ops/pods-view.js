// The fleet at a glance: what all pods have together, and each pod in a row.

import * as actions from "./actions.js";
import * as api from "./api.js";
import { element } from "./dom.js";
import { button, bytesRate, known, ms, plural, rate, state, Tiles, together } from "./parts.js";
import { Recent } from "./spark.js";
import { Table } from "./table.js";
import { count, size } from "./words.js";

const TONES = { ready: "good", stopped: "bad" };
// The lag from which a person notices, and the one from which the alert fires.
const LATE_MS = 100;
const VERY_LATE_MS = 250;

// What was shown before stays, so that the lines go on after another view.
const recent = new Recent();

export class PodsView {
  title = "Pods";
  about = "All pods of this gateway, now. Rates are for each second.";
  seconds = 2;
  #tiles = new Tiles();
  #pods = new Map();
  #shell;
  #table = new Table(
    "Pods",
    [
      { title: "Pod", kind: "name", cell: (pod) => name(pod) },
      { title: "State", cell: (pod) => stateOf(pod) },
      { title: "Connections", kind: "number", cell: (pod) => places(pod) },
      { title: "Slow", kind: "number", cell: (pod) => known(pod.slow, count) },
      { title: "Rooms", kind: "number", cell: (pod) => count(pod.rooms) },
      { title: "Received", kind: "number", cell: (pod) => known(pod.rates?.received, rate) },
      { title: "Delivered", kind: "number", cell: (pod) => known(pod.rates?.delivered, rate) },
      { title: "Lag, worst", kind: "number", cell: (pod) => lag(pod) },
      { title: "Bus", kind: "number", cell: (pod) => bus(pod) },
      { title: "Memory", kind: "number", cell: (pod) => known(pod.memory_bytes, size) },
      { title: "Release", cell: (pod) => `${pod.version} ${pod.build}` },
      { title: "Do", cell: (pod) => this.#buttons(pod) },
    ],
    (pod) => pod.pod,
    "No pod answered.",
  );

  constructor(shell) {
    this.#shell = shell;
    this.element = element("div", {}, this.#tiles.element, this.#table.element);
  }

  load(signal) {
    return api.read("/v1/info", {}, signal);
  }

  show(fleet) {
    this.#pods = new Map(fleet.pods.map((pod) => [pod.pod, pod]));
    this.#tiles.show(tiles(fleet));
    this.#table.show(fleet.pods.toSorted((one, other) => label(one).localeCompare(label(other))));
  }

  #buttons(pod) {
    const draining = pod.state === "draining" || pod.state === "stopped";
    if (draining) return element("a", { href: "#drains", text: "See its drain" });
    const act = (action) => () => action(this.#shell, this.#pods.get(pod.pod) ?? pod, this.#others(pod));
    return together(
      button("Drain…", act(actions.drain), { label: `Drain ${label(pod)}` }),
      button("Shed…", act(actions.shed), { label: `Shed connections of ${label(pod)}` }),
    );
  }

  #others(pod) {
    return [...this.#pods.values()].filter(takes).filter((other) => other.pod !== pod.pod).length;
  }
}

const takes = ({ state: now }) => now === "ready" || now === "degraded";

const label = (pod) => pod.host || pod.pod;

function tiles(fleet) {
  const { pods } = fleet;
  const ready = pods.filter(takes).length;
  const deaf = pods.filter((pod) => !pod.bus.up);
  const worst = highest(pods, (pod) => pod.worst_loop_lag_ms);
  const trip = highest(pods, (pod) => pod.bus.round_trip_ms);
  const slow = pods.reduce((sum, pod) => sum + (pod.slow ?? 0), 0);
  recent.add("connections", fleet.connections);
  for (const each of ["received", "delivered"]) recent.add(each, fleet.rates?.[each] ?? 0);
  recent.add("lag", worst ?? 0);
  return [
    {
      name: "Connections",
      value: count(fleet.connections),
      about: fleet.limit ? `of at most ${count(fleet.limit)}` : "",
      tone: fleet.limit && fleet.connections >= 0.9 * fleet.limit ? "warning" : null,
      values: recent.of("connections"),
    },
    {
      name: "Pods ready",
      value: `${ready} of ${pods.length}`,
      about: states(pods),
      tone: ready === 0 ? "bad" : ready < pods.length ? "warning" : null,
    },
    {
      name: "Received",
      value: known(fleet.rates?.received, rate),
      about: known(fleet.rates?.received_bytes, bytesRate),
      values: recent.of("received"),
    },
    {
      name: "Delivered",
      value: known(fleet.rates?.delivered, rate),
      about: known(fleet.rates?.written_bytes, bytesRate),
      values: recent.of("delivered"),
    },
    {
      name: "Worst lag of a loop",
      value: known(worst, ms),
      about: "in the last minute",
      tone: lagTone(worst),
      values: recent.of("lag"),
    },
    {
      name: "Bus",
      value: deaf.length === 0 ? "up" : `lost by ${plural(deaf.length, "pod")}`,
      about: `slowest round trip ${known(trip, ms)}`,
      tone: deaf.length > 0 ? "bad" : null,
    },
    { name: "Slow readers", value: count(slow), about: "miss messages now", tone: slow > 0 ? "warning" : null },
  ];
}

function states(pods) {
  const others = pods.map((pod) => pod.state).filter((each) => each !== "ready");
  return [...new Set(others)].map((each) => `${others.filter((other) => other === each).length} ${each}`).join(", ");
}

function highest(pods, value) {
  const values = pods.map(value).filter((each) => each !== undefined && each !== null);
  return values.length === 0 ? undefined : Math.max(...values);
}

function lagTone(worst) {
  if (worst === undefined || worst < LATE_MS) return null;
  return worst < VERY_LATE_MS ? "warning" : "bad";
}

function name(pod) {
  const id = element("span", { class: "id", text: pod.pod });
  return pod.host ? element("span", { class: "two-lines" }, element("b", { text: pod.host }), id) : id;
}

function stateOf(pod) {
  const why = pod.reason && pod.reason !== pod.state ? ` (${pod.reason})` : "";
  return state(pod.state + why, TONES[pod.state] ?? "warning");
}

function places(pod) {
  const moving = pod.moving ? `, ${count(pod.moving)} asked to move` : "";
  return (pod.limit ? `${count(pod.connections)} of ${count(pod.limit)}` : count(pod.connections)) + moving;
}

function lag(pod) {
  const text = known(pod.worst_loop_lag_ms, ms);
  const tone = lagTone(pod.worst_loop_lag_ms);
  return tone === null ? text : state(text, tone);
}

function bus(pod) {
  if (!pod.bus.up) return state("lost", "bad");
  return known(pod.bus.round_trip_ms, ms);
}
