// Shows one line below the head: what the person should know now, and one button with what to do.

import { byId } from "./dom.js";

export class Banner {
  #box = byId("banner");
  #text = byId("banner-text");
  #button = byId("banner-action");
  #action = null;
  #timer = 0;

  constructor() {
    this.#button.addEventListener("click", () => this.#action?.());
  }

  /** `tone`: "plain" or "warning"; `action`: `{ label, run }`; `seconds`: hidden after that time. */
  show(text, { tone = "plain", action = null, seconds = 0 } = {}) {
    clearTimeout(this.#timer);
    this.#box.dataset.tone = tone;
    this.#text.textContent = text;
    this.#action = action?.run ?? null;
    this.#button.hidden = action === null;
    this.#button.textContent = action?.label ?? "";
    this.#box.hidden = false;
    if (seconds > 0) this.#timer = setTimeout(() => this.hide(), seconds * 1000);
  }

  hide() {
    clearTimeout(this.#timer);
    this.#box.hidden = true;
  }
}
