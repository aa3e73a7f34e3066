// What this page said and has not heard back: text by the reference in its payload, binary by its very bytes.

// A room may be without echo: what was accepted there is never heard, and must not pile up.
const MOST = 500;

export class Unheard {
  #texts = new Map();
  #binaries = [];

  addText(room, entry) {
    this.#texts.set(entry.reference, { room, entry });
    if (this.#texts.size > MOST) this.#texts.delete(this.#texts.keys().next().value);
  }

  addBinary(room, entry, bytes) {
    this.#binaries.push({ room, entry, bytes });
    if (this.#binaries.length > MOST) this.#binaries.shift();
  }

  /** The own entry that was just heard in `room`, if it is one. */
  takeText(room, reference) {
    const said = this.#texts.get(reference);
    if (said?.room !== room) return null;
    this.#texts.delete(reference);
    return said.entry;
  }

  /** The same for binary, which names no room: `{ room, entry }`. */
  takeBinary(bytes) {
    const index = this.#binaries.findIndex((said) => said.bytes === bytes);
    return index < 0 ? null : this.#binaries.splice(index, 1)[0];
  }

  forget(entry) {
    this.#texts.delete(entry.reference);
  }

  /** The connection is gone. Gives back what is not acknowledged, so that nobody will ever know. */
  disconnected() {
    return this.#binaries.splice(0).map(({ entry }) => entry);
  }

  /** What was said in `room` with a key, so that saying it again is safe, and may not have arrived. */
  toRepeat(room) {
    const said = [...this.#texts.values()].filter((each) => each.room === room);
    return said.map(({ entry }) => entry).filter(({ keyed, state }) => keyed && state === "unknown");
  }
}
