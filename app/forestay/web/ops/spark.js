// Draws the last values of something as a small line.

import { drawing } from "./dom.js";

const WIDTH = 96;
const HEIGHT = 24;
const MOST = 60;

/** Keeps the last values of several things, by name. */
export class Recent {
  #values = new Map();

  add(name, value) {
    const values = this.#values.get(name) ?? [];
    values.push(value);
    if (values.length > MOST) values.shift();
    this.#values.set(name, values);
  }

  of(name) {
    return this.#values.get(name) ?? [];
  }
}

/** A line through `values`, from zero. It is decoration: the number beside it is what a screen reader gets. */
export function spark(values) {
  const top = Math.max(...values, 0) || 1;
  const step = WIDTH / (MOST - 1);
  const start = WIDTH - step * (values.length - 1);
  const points = values.map((value, index) => {
    const y = HEIGHT - 2 - (Math.max(value, 0) / top) * (HEIGHT - 4);
    return `${(start + index * step).toFixed(1)},${y.toFixed(1)}`;
  });
  const line = drawing("polyline", { points: points.join(" "), "vector-effect": "non-scaling-stroke" });
  return drawing(
    "svg",
    { class: "spark", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" },
    line,
  );
}
