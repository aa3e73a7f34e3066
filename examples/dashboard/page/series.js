// The messages of a room with history, by their offset. Each comes once in the end, whichever way it came.

export class Series {
  #epoch;
  #messages = new Map();
  #size;

  /** Keeps the last `size` messages. */
  constructor(size) {
    this.#size = size;
  }

  take({ epoch, offset, payload }) {
    if (epoch !== this.#epoch) {
      // The gateway has begun to count anew.
      this.#epoch = epoch;
      this.#messages.clear();
    }
    this.#messages.set(offset, payload);
    for (const old of this.#offsets.slice(0, -this.#size)) this.#messages.delete(old);
  }

  get #offsets() {
    return [...this.#messages.keys()].sort((one, other) => one - other);
  }

  /** All payloads, the oldest one first. */
  get payloads() {
    return this.#offsets.map((offset) => this.#messages.get(offset));
  }

  /** How many are missing between the first and the last. */
  get missing() {
    const offsets = this.#offsets;
    return offsets.length && offsets.at(-1) - offsets[0] + 1 - offsets.length;
  }
}
