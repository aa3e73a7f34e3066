// Says how old the shown data is, whether it is complete, and what came of an action.

import { byId } from "./dom.js";
import { at } from "./parts.js";

const SAID_SECONDS = 12;

export class Notices {
  #fresh = byId("fresh");
  #stale = byId("stale");
  #incomplete = byId("incomplete");
  #said = byId("said");
  #at = null;
  #timer = 0;

  constructor() {
    setInterval(() => this.#show(), 1000);
  }

  /** New data came. `answer` may say that it is incomplete. */
  came(answer) {
    this.#at = Date.now();
    this.#fault("");
    this.#incomplete.hidden = answer?.complete !== false;
    this.#show();
  }

  /** No data came, and this is why. What is shown stays. */
  failed(why) {
    const from = this.#at === null ? "" : ` What you see is from ${at(this.#at / 1000)}.`;
    this.#fault(why + from);
    this.#show();
  }

  /** Nothing is shown any more. */
  clear() {
    this.#at = null;
    this.#fault("");
    for (const each of [this.#incomplete, this.#fresh, this.#said]) each.hidden = true;
  }

  /** What came of an action. */
  say(text) {
    clearTimeout(this.#timer);
    this.#said.textContent = text;
    this.#said.hidden = false;
    this.#timer = setTimeout(() => {
      this.#said.hidden = true;
    }, SAID_SECONDS * 1000);
  }

  #fault(text) {
    this.#stale.hidden = text === "";
    if (this.#stale.textContent !== text) this.#stale.textContent = text;
    document.body.toggleAttribute("data-stale", text !== "");
  }

  #show() {
    this.#fresh.hidden = this.#at === null;
    if (this.#at === null || document.hidden) return;
    const seconds = Math.round((Date.now() - this.#at) / 1000);
    const old = document.body.hasAttribute("data-stale");
    this.#fresh.textContent = old ? `Old data: ${age(seconds)}` : `Data: ${age(seconds)}`;
  }
}

function age(seconds) {
  if (seconds < 2) return "now";
  return seconds < 90 ? `${seconds} s ago` : `${Math.round(seconds / 60)} min ago`;
}
