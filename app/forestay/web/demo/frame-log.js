// Lists every frame on the socket, newest last. The list is bounded and can be paused and cleared.

import { judge } from "./closes.js";
import { byId, element } from "./dom.js";
import { follow } from "./follow.js";
import { jsonView } from "./json-view.js";
import { count, hexDump, preciseTime, size } from "./words.js";

const KEPT = 500;
const ARROWS = { in: "↓", out: "↑" };
const WORDS = { in: "received", out: "sent" };
// Frames come in floods. One update for many frames costs a fraction of one update each.
const DRAW_MS = 40;
// Bytes of a binary frame that are shown.
const SHOWN_BYTES = 512;

export class FrameLog {
  #list = byId("frame-list");
  #following = follow(this.#list);
  #tally = byId("tally");
  #hint = byId("frames-hint");
  #pause = byId("pause");
  #pings = byId("hide-pings");
  #waiting = [];
  #counts = { in: 0, out: 0 };
  #paused = false;
  #timer = 0;

  constructor() {
    this.#pause.addEventListener("click", () => this.#setPaused(!this.#paused));
    byId("clear").addEventListener("click", () => this.#clear());
    this.#pings.addEventListener("change", () => {
      this.#list.toggleAttribute("data-hide-pings", this.#pings.checked);
      this.#following.settle();
    });
    this.#showTally();
  }

  add(frame) {
    if (frame.size !== undefined) this.#counts[frame.direction] += 1;
    this.#waiting.push(shortened(frame));
    if (this.#waiting.length > KEPT) this.#waiting.shift();
    if (this.#timer === 0) this.#timer = setTimeout(() => this.#draw(), DRAW_MS);
  }

  #draw() {
    this.#timer = 0;
    this.#showTally();
    if (this.#paused || this.#waiting.length === 0) return;
    this.#list.append(...this.#waiting.map(row));
    while (this.#list.childElementCount > KEPT) this.#list.firstElementChild.remove();
    this.#waiting = [];
    this.#hint.hidden = true;
  }

  #setPaused(paused) {
    this.#paused = paused;
    this.#pause.setAttribute("aria-pressed", String(paused));
    this.#draw();
  }

  #clear() {
    this.#waiting = [];
    this.#list.replaceChildren();
    this.#counts = { in: 0, out: 0 };
    this.#hint.hidden = false;
    this.#showTally();
  }

  #showTally() {
    this.#tally.textContent = `↑ ${count(this.#counts.out)}  ↓ ${count(this.#counts.in)}`;
    const held = this.#paused && this.#waiting.length > 0 ? ` (${this.#waiting.length})` : "";
    this.#pause.textContent = this.#paused ? `Resume${held}` : "Pause";
  }
}

/** A frame without the data that is never shown: five hundred large frames would take much memory. */
function shortened(frame) {
  return frame.bytes ? { ...frame, bytes: frame.bytes.slice(0, SHOWN_BYTES), body: null } : frame;
}

function row(frame) {
  const ping = frame.json?.type === "ping" || frame.json?.type === "pong";
  const opener = element(
    "button",
    { type: "button", class: "frame-line", "aria-expanded": "false" },
    frame.size === undefined
      ? element("span", { class: "arrow", "aria-hidden": "true", text: "•" })
      : element("span", {
          class: "arrow",
          role: "img",
          "aria-label": WORDS[frame.direction],
          text: ARROWS[frame.direction],
        }),
    element("time", { text: preciseTime(frame.at) }),
    element("span", { class: "frame-type", text: kind(frame) }),
    element("span", { class: "frame-about", text: about(frame) }),
    element("span", { class: "frame-size", text: frame.size === undefined ? "" : size(frame.size) }),
  );
  const item = element(
    "li",
    { class: "frame", "data-direction": frame.direction, "data-kind": family(frame), "data-ping": ping },
    opener,
  );
  opener.addEventListener("click", () => {
    const open = opener.getAttribute("aria-expanded") === "true";
    opener.setAttribute("aria-expanded", String(!open));
    // Built only when the row is opened: most frames never are.
    if (open) item.lastElementChild.remove();
    else item.append(element("div", { class: "frame-body" }, content(frame)));
  });
  return item;
}

function kind(frame) {
  if (frame.close) return `close ${frame.close.code}`;
  if (frame.opened) return "open";
  return frame.bytes ? `binary ${frame.number ?? ""}` : frame.type;
}

function about(frame) {
  if (frame.close) return judge(frame.close.code).name;
  return frame.json?.room ?? frame.json?.payload?.code ?? "";
}

function family(frame) {
  if (frame.close || frame.opened) return "life";
  return frame.json?.type === "error" ? "error" : frame.bytes ? "binary" : "text";
}

function content(frame) {
  if (frame.close) {
    const { name, meaning, verdict } = judge(frame.close.code);
    const next = { return: "come back", once: "come back with a new token", stop: "stop" }[verdict];
    return jsonView({ code: frame.close.code, reason: frame.close.reason, name, meaning, next });
  }
  if (frame.opened) return element("pre", { text: frame.opened });
  if (frame.json) return jsonView(frame.json);
  if (frame.bytes === undefined) return element("pre", { text: frame.text });
  const hidden = frame.size - SHOWN_BYTES;
  const more = hidden > 0 ? `\n… ${count(hidden)} more bytes` : "";
  return element("pre", { text: hexDump(frame.bytes) + more });
}
