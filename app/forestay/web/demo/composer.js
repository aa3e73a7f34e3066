// The form that writes messages: text, or binary with a type that is bound to the room.

import { byId } from "./dom.js";
import { bytesOf, writeBinary } from "./frames.js";
import { count, size } from "./words.js";

const MOST_TYPE = 0xffffffff;
// The size of the envelope around a text: type, room, id, reference, key. An estimate is enough for a warning.
const ENVELOPE_BYTES = 400;

export class Composer {
  #form = byId("composer");
  #text = byId("say");
  #label = byId("say-label");
  #send = byId("send");
  #error = byId("say-error");
  #binding = byId("binding");
  #type = byId("binary-type");
  #bind = byId("bind");
  #pick = byId("file-pick");
  #file = byId("file");
  #chosen = byId("file-chosen");
  #chosenName = byId("file-name");
  #on;
  #room = null;
  #bindings = new Map();
  #limit = Infinity;

  /** `on`: `say(room, text)`, `bind(room, number)`, `binary(room, number, bytes)`. */
  constructor(on) {
    this.#on = on;
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#text.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#submit();
    });
    this.#text.addEventListener("input", () => this.#complain(""));
    this.#form.addEventListener("change", () => this.#show());
    this.#type.addEventListener("input", () => this.#show());
    this.#bind.addEventListener("click", () => {
      const number = this.#number();
      if (number !== null) on.bind(this.#room, number);
    });
    byId("file-clear").addEventListener("click", () => {
      this.#file.value = "";
      this.#show();
      this.#text.focus();
    });
    this.#show();
  }

  /** The selected room, what is bound on this connection, and how large a message may be. */
  show(room, bindings, limit) {
    this.#room = room;
    this.#bindings = bindings;
    this.#limit = limit ?? Infinity;
    this.#show();
  }

  get #binary() {
    return byId("mode-binary").checked;
  }

  #show() {
    const ready = this.#room?.state === "joined" && !this.#room.personal;
    const file = this.#binary ? (this.#file.files[0] ?? null) : null;
    this.#send.disabled = !ready;
    this.#bind.disabled = !ready;
    this.#binding.hidden = this.#pick.hidden = !this.#binary;
    this.#chosen.hidden = file === null;
    this.#text.hidden = file !== null;
    this.#chosenName.textContent = file === null ? "" : `${file.name} · ${size(file.size)}`;
    const bound = this.#bindings.get(Number(this.#type.value));
    const here = bound !== undefined && bound.room === this.#room?.name;
    this.#bind.textContent = here ? (bound.bound ? "Bound to this room" : "Binding…") : "Bind to this room";
    this.#bind.dataset.bound = String(here && bound.bound);
    this.#label.textContent = this.#binary ? "Text to send as bytes" : "Message";
    this.#text.placeholder = placeholder(this.#room, this.#binary);
  }

  async #submit() {
    if (this.#send.disabled) return;
    this.#complain("");
    const sent = this.#binary ? await this.#submitBinary() : this.#submitText();
    if (!sent) return;
    this.#text.value = "";
    this.#file.value = "";
    this.#show();
    this.#text.focus();
  }

  #submitText() {
    const text = this.#text.value.trim();
    if (text === "" || this.#tooLarge(bytesOf(JSON.stringify(text)).length + ENVELOPE_BYTES)) return false;
    this.#on.say(this.#room, text);
    return true;
  }

  async #submitBinary() {
    const number = this.#number();
    const file = this.#file.files[0];
    if (number === null || (file && this.#tooLarge(file.size + 4))) return false;
    const room = this.#room;
    let body = bytesOf(this.#text.value);
    try {
      if (file) body = new Uint8Array(await file.arrayBuffer());
    } catch (error) {
      this.#complain(`The file cannot be read: ${error.message}`);
      return false;
    }
    if (this.#tooLarge(writeBinary(number, body).byteLength)) return false;
    this.#on.binary(room, number, body);
    return true;
  }

  #number() {
    const number = this.#type.value.trim() === "" ? NaN : Number(this.#type.value);
    if (Number.isInteger(number) && number >= 0 && number <= MOST_TYPE) return number;
    this.#complain(`A type is a whole number from 0 to ${count(MOST_TYPE)}.`);
    return null;
  }

  /** Warns here, because the gateway would end the connection with 1009. */
  #tooLarge(bytes) {
    if (bytes <= this.#limit) return false;
    this.#complain(`About ${size(bytes)}, but this gateway takes at most ${size(this.#limit)} in one message.`);
    return true;
  }

  #complain(text) {
    this.#error.textContent = text;
  }
}

function placeholder(room, binary) {
  if (room === null) return "Join a room first";
  if (room.personal) return "Only backends speak here";
  if (room.state !== "joined") return "Not in the room just now";
  return binary ? "Text to send as bytes" : `Say something in ${room.name}`;
}
