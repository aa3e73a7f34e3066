// Draws signal flags: one for the state of the connection, and a small one for each person.

import { drawing } from "./dom.js";

const W = 16;
const H = 12;
const BLUE = "#1b5fae";
const RED = "#cf2f2f";
const YELLOW = "#f6c026";
const WHITE = "#ffffff";
const BLACK = "#1c2733";

/** The flag of each state, with its meaning in the International Code of Signals. */
export const STATE_FLAGS = {
  connected: { letter: "C", meaning: "affirmative", draw: () => stripes([BLUE, WHITE, RED, WHITE, BLUE]) },
  connecting: { letter: "P", meaning: "about to proceed to sea", draw: () => [field(BLUE), box(WHITE, 4.5, 3.4)] },
  waiting: { letter: "Y", meaning: "I am dragging my anchor", draw: () => [field(YELLOW), ...slashes(RED)] },
  stopped: { letter: "M", meaning: "my vessel is stopped", draw: () => [field(BLUE), saltire(WHITE)] },
};

const CHECKS = [0, 3, 6, 9].flatMap((y, row) => [0, 8].map((x) => [x + (row % 2) * 4, y]));

// No pattern is the flag of a country with any pair of the colours below.
const PATTERNS = [
  (a, b) => [field(a), box(b, W / 2, 0, W / 2, H / 2), box(b, 0, H / 2, W / 2, H / 2)],
  (a, b) => [field(a), box(b, 4.5, 3.4)],
  (a, b) => [field(a), shape(b, `M0 0 L${W} ${H} L0 ${H} Z`)],
  (a, b) => [field(a), shape(b, "M8 0.5 L15.3 6 L8 11.5 L0.7 6 Z")],
  (a, b) => [field(a), shape(b, `M0 0 L${W} ${H} L${W} 0 L0 ${H} Z`)],
  (a, b) => [field(a), box(b, 3.2, 0, 3.2, H), box(b, 9.6, 0, 3.2, H)],
  (a, b) => [field(a), box(b, 2, 2), box(a, 5, 4.4)],
  (a, b) => [field(a), ...CHECKS.map(([x, y]) => box(b, x, y, 4, 3))],
];

const PAIRS = [
  [BLUE, WHITE],
  [RED, WHITE],
  [YELLOW, BLUE],
  [YELLOW, RED],
  [WHITE, BLUE],
  [WHITE, RED],
  [BLACK, YELLOW],
  [RED, YELLOW],
  [BLUE, YELLOW],
  [YELLOW, BLACK],
];

export function stateFlag(state) {
  const { letter, meaning, draw } = STATE_FLAGS[state];
  const svg = hoist(draw());
  svg.setAttribute("role", "img");
  svg.prepend(drawing("title", { text: `Signal flag ${letter}: ${meaning}` }));
  return svg;
}

/** The flag of a person, always the same for the same name. It is decoration and hidden from screen readers. */
export function personFlag(name) {
  const number = hash(name);
  const [a, b] = PAIRS[Math.floor(number / PATTERNS.length) % PAIRS.length];
  const svg = hoist(PATTERNS[number % PATTERNS.length](a, b));
  svg.setAttribute("aria-hidden", "true");
  return svg;
}

function hoist(shapes) {
  return drawing("svg", { viewBox: `0 0 ${W} ${H}`, class: "flag" }, ...shapes);
}

function field(fill) {
  return box(fill, 0, 0, W, H);
}

function box(fill, x, y, width = W - 2 * x, height = H - 2 * y) {
  return drawing("rect", { x, y, width, height, fill });
}

function shape(fill, d) {
  return drawing("path", { d, fill });
}

function stripes(colours) {
  const height = H / colours.length;
  return colours.map((colour, index) => box(colour, 0, index * height, W, height));
}

function saltire(stroke) {
  return drawing("path", { d: `M0 0 L${W} ${H} M${W} 0 L0 ${H}`, stroke, "stroke-width": 2.8 });
}

function slashes(stroke) {
  const starts = [0, 6.4, 12.8, 19.2, 25.6];
  return [drawing("path", { d: starts.map((x) => `M${x} -1 L${x - 14} 13`).join(" "), stroke, "stroke-width": 2.3 })];
}

// FNV-1a with 32 bits: it distributes short names well and is short.
function hash(text) {
  let value = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) value = Math.imul(value ^ byte, 0x01000193) >>> 0;
  return value;
}
