// How long to stay away: a random time below a ceiling that doubles, so that no two clients return in step.

const CAP_MS = 30_000;
const FIRST_MS = 1_000;

export class Backoff {
  #attempt = 0;
  #random;

  constructor(random) {
    this.#random = random;
  }

  get attempt() {
    return this.#attempt;
  }

  /** Milliseconds to wait. `spread`: the first ceiling, which the gateway names; `floor`: the least it can be. */
  next(spread = FIRST_MS, floor = 0) {
    const ceiling = Math.min(CAP_MS, Math.max(spread, FIRST_MS) * 2 ** this.#attempt);
    this.#attempt += 1;
    return Math.max(floor, this.#random() * ceiling);
  }

  reset() {
    this.#attempt = 0;
  }
}
