// Shows the frames of a room or a connection as they go, for as long as somebody looks.

import * as api from "./api.js";
import { element } from "./dom.js";
import { plural } from "./parts.js";
import { count, preciseTime, size } from "./words.js";

const SECONDS = 600;
const KEPT = 300;
// Frames come in floods. One update for many costs a fraction of one update each.
const DRAW_MS = 150;
const ARROWS = { in: "↑", out: "↓" };
const WORDS = { in: "from a client", out: "to a client" };
const ENDS = {
  over: "Ten minutes are over.",
  ended: "The connection has ended.",
  stopped: "The pod that showed them has stopped. Watch again to ask another one.",
};

export class Watch {
  #where;
  #button = element("button", { type: "button", "aria-pressed": "false" });
  #note = element("p", { class: "hint", role: "status" });
  #list = element("ol", { class: "frames", tabindex: "0", "aria-label": "Frames, newest first", hidden: true });
  #stop = null;
  #new = [];
  #timer = 0;
  #hidden = () => this.#pause();

  /** `where`: the path of the stream. */
  constructor(where) {
    this.#where = where;
    this.#button.addEventListener("click", () => (this.#stop === null ? this.start() : this.leave()));
    this.element = element(
      "div",
      { class: "stack" },
      element("p", { class: "row" }, this.#button, this.#note),
      this.#list,
    );
    this.#showButton();
  }

  async start() {
    const mine = new AbortController();
    this.#stop = mine;
    this.#list.hidden = false;
    this.#note.textContent = "Asking the pods…";
    this.#showButton();
    document.addEventListener("visibilitychange", this.#hidden);
    let end = "The stream has ended.";
    try {
      await api.follow(
        this.#where,
        { seconds: SECONDS },
        (line) => mine === this.#stop && this.#take(line),
        mine.signal,
      );
    } catch (error) {
      end = error.message;
    }
    if (mine !== this.#stop) return;
    if (mine.signal.aborted) this.#note.textContent = "Paused, because the tab is hidden.";
    else this.#over(end);
  }

  /** Stops. What was shown stays. */
  leave() {
    const mine = this.#stop;
    if (mine === null) return;
    this.#over("Stopped.");
    mine.abort();
  }

  #pause() {
    if (document.hidden) this.#stop.abort();
    else if (this.#stop.signal.aborted) this.start();
  }

  #over(why) {
    this.#stop = null;
    document.removeEventListener("visibilitychange", this.#hidden);
    this.#note.textContent = why;
    this.#showButton();
  }

  #take(line) {
    if (line.kind === "frame") this.#add(row(line));
    else if (line.kind === "dropped") this.#add(missed(line));
    else if (line.kind === "watching") this.#note.textContent = watching(line);
    else if (line.kind === "end") this.#over(ENDS[line.reason] ?? line.reason);
  }

  #add(item) {
    this.#new.push(item);
    if (this.#new.length > KEPT) this.#new.shift();
    if (this.#timer === 0) this.#timer = setTimeout(() => this.#draw(), DRAW_MS);
  }

  #draw() {
    this.#timer = 0;
    this.#list.prepend(...this.#new.reverse());
    this.#new = [];
    while (this.#list.childElementCount > KEPT) this.#list.lastElementChild.remove();
  }

  #showButton() {
    const on = this.#stop !== null;
    this.#button.textContent = on ? "Stop watching" : "Watch its frames";
    this.#button.setAttribute("aria-pressed", String(on));
  }
}

function watching({ pods, complete, payloads }) {
  const all = complete === false ? "Not every pod passes on frames. " : "";
  const shown = payloads ? "" : " Payloads are not shown: FORESTAY_OPS_SHOW does not have them.";
  return `${all}Watching on ${plural(pods.length, "pod")}.${shown}`;
}

function row(frame) {
  const about = [frame.room, frame.from ?? frame.user, frame.event, frame.code].filter(Boolean).join(" · ");
  const flags = frame.lost ? " · not written, because the client is slow" : "";
  return element(
    "li",
    { "data-way": frame.way, "data-lost": frame.lost === true },
    element("span", { class: "arrow", role: "img", "aria-label": WORDS[frame.way], text: ARROWS[frame.way] }),
    element("time", { text: preciseTime(new Date(frame.at * 1000)) }),
    element("b", { text: frame.type }),
    element("span", { text: about + flags }),
    element("span", { class: "number", text: frame.bytes === undefined ? "" : size(frame.bytes) }),
    frame.payload === undefined ? null : element("pre", { text: frame.payload + (frame.cut ? " …" : "") }),
  );
}

function missed({ frames }) {
  return element(
    "li",
    { "data-way": "none" },
    element("span"),
    element("span"),
    element("b", { text: "dropped" }),
    element("span", { text: `${count(frames)} more frames, too many to show` }),
  );
}
