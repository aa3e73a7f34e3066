// Runs a function again and again, and only while somebody can see the page.

/** `run(signal)` is called at once, and `seconds()` after it has ended; never twice at a time. */
export class Poller {
  #run;
  #seconds;
  #timer = 0;
  #current = null;
  #on = false;

  constructor(run, seconds) {
    this.#run = run;
    this.#seconds = seconds;
    document.addEventListener("visibilitychange", () => this.#settle());
  }

  /** Starts, or starts anew: what is under way is given up. */
  start() {
    this.stop();
    this.#on = true;
    this.#settle();
  }

  stop() {
    this.#on = false;
    this.#settle();
  }

  /** Runs now instead of later. */
  hurry() {
    if (this.#on && this.#current === null) this.#next();
  }

  #settle() {
    const wanted = this.#on && !document.hidden;
    if (!wanted) {
      clearTimeout(this.#timer);
      this.#current?.abort();
      this.#current = null;
    } else if (this.#current === null) this.#next();
  }

  async #next() {
    clearTimeout(this.#timer);
    const mine = new AbortController();
    this.#current = mine;
    try {
      await this.#run(mine.signal);
    } finally {
      if (this.#current === mine) {
        this.#current = null;
        this.#timer = setTimeout(() => this.#next(), this.#seconds() * 1000);
      }
    }
  }
}
