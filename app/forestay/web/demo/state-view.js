// The head of the page: whether there is a connection, since when, and else what happens next.

import { judge } from "./closes.js";
import { byId } from "./dom.js";
import { stateFlag } from "./flag.js";
import { milliseconds } from "./words.js";

const NAMES = { connected: "Connected", connecting: "Connecting", waiting: "Waiting", stopped: "Stopped" };
const COUNTDOWN_MS = 100;

export class StateView {
  #flag = byId("state-flag");
  #name = byId("state-name");
  #detail = byId("state-detail");
  #label = byId("stay-label");
  #announcer = byId("announcer");
  #cut = byId("cut");
  #toggle = byId("toggle");
  #timer = 0;
  #state = { name: "stopped", close: null };
  #roundTrip = null;

  /** `on`: `cut()`, `connect()`, `disconnect()`. */
  constructor(on) {
    this.#cut.addEventListener("click", () => on.cut());
    this.#toggle.addEventListener("click", () => (this.#isUp() ? on.disconnect() : on.connect()));
  }

  show(state) {
    this.#state = state;
    this.#roundTrip = null;
    clearInterval(this.#timer);
    document.body.dataset.state = state.name;
    this.#flag.replaceChildren(stateFlag(state.name));
    this.#cut.disabled = state.name !== "connected";
    this.#toggle.textContent = { waiting: "Connect now", stopped: "Connect" }[state.name] ?? "Disconnect";
    this.#name.textContent = NAMES[state.name];
    this.#label.textContent = "";
    this.#describe();
    this.#announcer.textContent = this.#spoken();
    if (state.name === "waiting") {
      this.#timer = setInterval(() => this.#describe(), COUNTDOWN_MS);
    }
  }

  measured(ms) {
    this.#roundTrip = ms;
    this.#describe();
  }

  #isUp() {
    return this.#state.name === "connected" || this.#state.name === "connecting";
  }

  #describe() {
    const { name, until, attempt, close } = this.#state;
    if (name === "waiting") {
      const left = Math.max(0, until - performance.now()) / 1000;
      this.#name.textContent = `Waiting ${left.toFixed(1)} s`;
      this.#label.textContent = `back in ${left.toFixed(1)} s`;
      this.#detail.textContent = `${close.code} ${judge(close.code).name}${attempt > 1 ? ` · try ${attempt}` : ""}`;
    } else if (name === "connected") {
      this.#detail.textContent = this.#roundTrip === null ? "" : `round trip ${milliseconds(this.#roundTrip)}`;
    } else if (name === "connecting") {
      this.#detail.textContent = attempt > 0 ? `try ${attempt}` : "";
    } else {
      this.#detail.textContent = close === null ? "" : `${close.code} ${judge(close.code).name}`;
    }
  }

  /** The text for a screen reader, once per state: a countdown would be read without end. */
  #spoken() {
    const { name, wait, close } = this.#state;
    if (name === "waiting") return `Connection lost. Connecting again in about ${Math.ceil(wait / 1000)} seconds.`;
    if (name === "stopped" && close !== null) {
      const { verdict, meaning } = judge(close.code);
      return `Disconnected. ${verdict === "stop" ? meaning : ""}`;
    }
    return NAMES[name];
  }
}
