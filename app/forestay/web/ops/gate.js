// Takes the API key. The field is emptied at once, so that the page keeps the key in one place.

import { byId } from "./dom.js";

export class Gate {
  #gate = byId("gate");
  #key = byId("gate-key");
  #error = byId("gate-error");

  /** `use(key)` is called with a key that was typed or pasted. */
  constructor(use) {
    byId("gate-form").addEventListener("submit", (event) => {
      event.preventDefault();
      const key = this.#key.value.trim();
      this.#key.value = "";
      if (/\p{Cc}/u.test(key)) this.open("This is no API key: it has a character that no header can carry.");
      else use(key);
    });
  }

  /** Asks for a key. `why`: what was wrong with the last one. */
  open(why = "") {
    this.#gate.hidden = false;
    this.#error.textContent = why;
    this.#key.focus();
  }

  close() {
    this.#gate.hidden = true;
    this.#key.value = "";
  }
}
