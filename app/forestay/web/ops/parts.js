// Small parts that several views have: tiles, facts, links, states, and numbers in words.

import { to } from "./address.js";
import { element } from "./dom.js";
import { spark } from "./spark.js";
import { count, fromNow, milliseconds, size } from "./words.js";

const UNKNOWN = "–";

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });

/** `format(value)`, or a dash where there is no value: an older pod does not have each field. */
export function known(value, format = String) {
  return value === undefined || value === null ? UNKNOWN : format(value);
}

/** A number for each second. */
export function rate(value) {
  return `${value < 10 && value > 0 ? value.toFixed(1) : count(Math.round(value))}/s`;
}

export const bytesRate = (value) => `${size(Math.round(value))}/s`;

export const ms = (value) => (value === 0 ? "0 ms" : milliseconds(value));

/** The time of day of Unix seconds. */
export const at = (seconds) => clock.format(new Date(seconds * 1000));

/** How long ago Unix seconds are, as a browser's clock says. */
export const ago = (seconds) => fromNow(seconds - Date.now() / 1000);

export const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

export function link(view, name, text = name) {
  return element("a", { href: to(view, name), text });
}

/** Several elements in one cell. */
export function together(...parts) {
  return element("span", { class: "row" }, ...parts);
}

/** `tone`: "good", "warning" or "bad". The words say the same as the colour. */
export function state(text, tone) {
  return element("span", { class: "state", "data-tone": tone, text });
}

export function button(text, run, { label, kind = "small" } = {}) {
  const made = element("button", { type: "button", class: kind, text, "aria-label": label });
  made.addEventListener("click", run);
  return made;
}

/** Tiles: `{ name, value, about, tone, values }`; `values` are the last ones, for a line. */
export class Tiles {
  element = element("dl", { class: "tiles" });

  show(tiles) {
    this.element.replaceChildren(...tiles.map(tile));
  }
}

/** Facts: pairs of a name and a text or an element. Those without a value are left out. */
export function facts(pairs) {
  const rows = pairs
    .filter(([, value]) => value !== undefined && value !== null && value !== "")
    .map(([name, value]) => {
      const shown = typeof value === "object" ? element("dd", {}, value) : element("dd", { text: String(value) });
      return element("div", {}, element("dt", { text: name }), shown);
    });
  return element("dl", { class: "facts" }, ...rows);
}

export function part(title, ...children) {
  return element("section", { class: "part", "aria-label": title }, element("h3", { text: title }), ...children);
}

function tile({ name, value, about = "", tone = null, values = null }) {
  return element(
    "div",
    { class: "tile", "data-tone": tone },
    element("dt", { text: name }),
    element("dd", { text: value }),
    about === "" ? null : element("dd", { class: "tile-about", text: about }),
    values === null || values.length < 2 ? null : element("dd", { class: "tile-line" }, spark(values)),
  );
}
