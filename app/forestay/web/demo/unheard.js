// Own messages that have not come back yet: text by the reference in its payload, binary by its bytes.

// In a room without echo an accepted message never comes back, and the list must not grow.
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

  /** The own entry that came back in `room`, if the message is one. */
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

  /** The connection was lost. Returns the entries without an acknowledgement, whose outcome stays unknown. */
  disconnected() {
    return this.#binaries.splice(0).map(({ entry }) => entry);
  }

  /** The entries of `room` that may not have arrived and have a key, so that a retry is safe. */
  toRepeat(room) {
    const said = [...this.#texts.values()].filter((each) => each.room === room);
    return said.map(({ entry }) => entry).filter(({ keyed, state }) => keyed && state === "unknown");
  }
}
