// Asks every 15 seconds whether the gateway is still there, and measures how long the answer takes.

const EVERY_MS = 15_000;
// As long as the gateway gives us for its own pings.
const PATIENCE_MS = 10_000;

export class Heartbeat {
  #on;
  #count = 0;
  #asked = null;
  #every;
  #patience;

  /** `on`: `ask(id)` sends a ping, `measured(ms)`, `lost()` when there was no answer. */
  constructor(on) {
    this.#on = on;
  }

  start() {
    this.stop();
    this.#every = setInterval(() => this.#ask(), EVERY_MS);
    this.#ask();
  }

  stop() {
    clearInterval(this.#every);
    clearTimeout(this.#patience);
    this.#asked = null;
  }

  answered(id) {
    if (id !== this.#asked?.id) return;
    clearTimeout(this.#patience);
    this.#on.measured(performance.now() - this.#asked.at);
    this.#asked = null;
  }

  #ask() {
    this.#count += 1;
    this.#asked = { id: `ping-${this.#count}`, at: performance.now() };
    clearTimeout(this.#patience);
    this.#patience = setTimeout(() => this.#on.lost(), PATIENCE_MS);
    this.#on.ask(this.#asked.id);
  }
}
