// Close codes over time: a bar for each minute, and how often each code came.

import * as api from "./api.js";
import { judge } from "./closes.js";
import { drawing, element } from "./dom.js";
import { at, part, plural } from "./parts.js";
import { Table } from "./table.js";
import { count } from "./words.js";

const RANGES = [15, 60, 120];
const HEIGHT = 100;
// What is drawn apart, from the bottom of a bar to its top.
const SHARES = [
  ["gateway", "by the gateway"],
  ["client", "by clients"],
  ["away", "turned away"],
];

export class ClosesView {
  title = "Close codes";
  about = "How connections ended, on all pods together. A client reconnects after some codes, and stops after others.";
  seconds = 5;
  #range = element(
    "select",
    { id: "closes-range" },
    ...RANGES.map((value) => element("option", { value, text: `${value} minutes`, selected: value === 60 })),
  );
  #chart = element("figure", { class: "chart" });
  #table = new Table(
    "Close codes",
    [
      { title: "Code", kind: "number", cell: ({ code }) => code },
      { title: "By", cell: ({ by }) => by },
      { title: "Times", kind: "number", cell: ({ times }) => count(times) },
      { title: "Last", cell: ({ last }) => at(last) },
      { title: "Meaning", kind: "wide", cell: ({ code }) => meaning(code) },
    ],
    ({ code, by }) => `${code} ${by}`,
    "No connection ended in this time.",
  );

  constructor(shell) {
    this.#range.addEventListener("change", () => shell.again());
    const choice = element(
      "p",
      { class: "row" },
      element("label", { for: "closes-range", text: "The last" }),
      this.#range,
    );
    this.element = element("div", { class: "stack" }, choice, this.#chart, part("By code", this.#table.element));
  }

  load(signal) {
    return api.read("/v1/closes", { minutes: this.#range.value }, signal);
  }

  show({ minutes }) {
    this.#chart.replaceChildren(...chart(minutes));
    this.#table.show(sums(minutes));
  }
}

const total = (codes) => Object.values(codes ?? {}).reduce((sum, times) => sum + times, 0);

function sums(minutes) {
  const found = new Map();
  for (const minute of minutes) {
    for (const by of ["gateway", "client"]) {
      for (const [code, times] of Object.entries(minute[by] ?? {})) {
        const sum = found.get(code + by) ?? { code: Number(code), by, times: 0, last: 0 };
        sum.times += times;
        sum.last = Math.max(sum.last, minute.at);
        found.set(code + by, sum);
      }
    }
  }
  return [...found.values()].toSorted((one, other) => other.times - one.times);
}

function meaning(code) {
  const { name, meaning: text, verdict } = judge(code);
  const next = { return: "The client comes back.", once: "The client needs a new token.", stop: "The client stops." };
  return `${name}. ${text} ${next[verdict]}`;
}

/** Bars for the eye; the table has the numbers, and the caption says how many there were at most. */
function chart(minutes) {
  const bars = minutes.map((minute) => ({
    gateway: total(minute.gateway),
    client: total(minute.client),
    away: minute.turned_away ?? 0,
  }));
  const most = Math.max(1, ...bars.map(({ gateway, client, away }) => gateway + client + away));
  const shapes = bars.flatMap((bar, index) => {
    let top = HEIGHT;
    return SHARES.map(([share]) => {
      const height = (bar[share] / most) * HEIGHT;
      top -= height;
      return drawing("rect", { class: `bar-${share}`, x: index + 0.1, y: top, width: 0.8, height });
    });
  });
  const size = `0 0 ${Math.max(1, bars.length)} ${HEIGHT}`;
  const legend = SHARES.map(([share, text]) =>
    element("li", {}, element("span", { class: `swatch bar-${share}` }), element("span", { text })),
  );
  const ends = bars.reduce((sum, { gateway, client }) => sum + gateway + client, 0);
  const opened = minutes.reduce((sum, minute) => sum + (minute.opened ?? 0), 0);
  const caption =
    `${plural(opened, "connection")} began and ${count(ends)} ended in ${minutes.length} minutes; at most ${count(most)} ` +
    "ended or were turned away in one minute.";
  return [
    drawing("svg", { viewBox: size, preserveAspectRatio: "none", "aria-hidden": "true" }, ...shapes),
    element("ul", { class: "legend row", "aria-hidden": "true" }, ...legend),
    element("figcaption", { class: "hint", text: caption }),
  ];
}
