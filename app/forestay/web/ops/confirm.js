// The dialog before an action: it says what will happen to how many, and shows why the action failed.

import { byId, element } from "./dom.js";

export class Confirm {
  #dialog = byId("confirm");
  #title = byId("confirm-title");
  #effect = byId("confirm-effect");
  #fields = byId("confirm-fields");
  #error = byId("confirm-error");
  #do = byId("confirm-do");
  #run = null;

  constructor() {
    byId("confirm-cancel").addEventListener("click", () => this.#dialog.close());
    byId("confirm-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#try();
    });
  }

  /**
   * `title`, `effect`: a sentence with what will happen; `label`: of the button; `fields`: `{ name, label, value, rows,
   * hint, optional }`, each a text; `run(values)` does it. What it throws is shown, and the dialog stays.
   */
  ask({ title, effect, label, fields = [], run }) {
    this.#title.textContent = title;
    this.#effect.textContent = effect;
    this.#do.textContent = label;
    this.#error.textContent = "";
    this.#fields.replaceChildren(...fields.map(field));
    this.#run = run;
    this.#busy(false);
    this.#dialog.showModal();
  }

  close() {
    if (this.#dialog.open) this.#dialog.close();
  }

  async #try() {
    const inputs = [...this.#fields.querySelectorAll("input, textarea")];
    const values = Object.fromEntries(inputs.map(({ name, value }) => [name, value]));
    this.#busy(true);
    try {
      await this.#run(values);
      this.#dialog.close();
    } catch (error) {
      this.#error.textContent = error.message;
    } finally {
      this.#busy(false);
    }
  }

  #busy(busy) {
    this.#do.disabled = busy;
  }
}

function field({ name, label, value = "", rows = 1, hint = "", optional = false }) {
  const id = `confirm-${name}`;
  const attributes = { id, name, required: !optional, autocomplete: "off", spellcheck: "false" };
  const input = rows > 1 ? element("textarea", { ...attributes, rows }) : element("input", attributes);
  input.value = value;
  const note = hint === "" ? null : element("p", { class: "hint", id: `${id}-hint`, text: hint });
  if (note !== null) input.setAttribute("aria-describedby", note.id);
  return element("div", { class: "field" }, element("label", { for: id, text: label }), input, note);
}
