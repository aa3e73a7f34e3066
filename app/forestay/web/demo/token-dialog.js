// The dialog that takes a pasted token and shows its claims.

import { byId } from "./dom.js";
import { claims } from "./token.js";
import { fromNow } from "./words.js";

export class TokenDialog {
  #dialog = byId("token-dialog");
  #why = byId("token-why");
  #text = byId("token-text");
  #claims = byId("token-claims");
  #use = byId("token-use");

  /** `on`: `use(token)`. */
  constructor(on) {
    this.#text.addEventListener("input", () => this.#describe());
    byId("token-cancel").addEventListener("click", () => this.#dialog.close());
    byId("token-form").addEventListener("submit", () => on.use(this.#token()));
  }

  /** `why`: the reason, when the page opens the dialog by itself. */
  open(token, why = "") {
    this.#text.value = token;
    this.#why.textContent = why;
    this.#why.hidden = why === "";
    this.#describe();
    if (!this.#dialog.open) this.#dialog.showModal();
    this.#text.focus();
    this.#text.select();
  }

  #token() {
    return this.#text.value.replace(/\s+/g, "");
  }

  #describe() {
    const token = this.#token();
    this.#use.disabled = token === "";
    this.#claims.textContent = token === "" ? "" : describe(claims(token));
  }
}

/** One line about a token. Its signature is not verified here. */
export function describe(said) {
  if (said === null) return "This does not look like a JSON Web Token.";
  const left = said.exp - Date.now() / 1000;
  const until = Number.isFinite(left) ? ` · ${left < 0 ? "expired" : "expires"} ${fromNow(left)}` : " · no expiry";
  return `${said.sub ?? "nobody"}${until}`;
}
