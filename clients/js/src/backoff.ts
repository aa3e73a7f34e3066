// How long to stay away: a random time within a window that grows, so that no two clients return in step.

/** Milliseconds; what the gateway announces replaces it. */
const SPREAD = 2_000;
/** Milliseconds. The window grows from here even where the gateway spreads the first return over less. */
const LEAST_WINDOW = 500;

/** @internal */
export class Backoff {
  #attempt = 0;
  /** The first window, as `welcome` announced it. */
  _spread = SPREAD;
  #least;
  #most;

  constructor(least: number, most: number) {
    this.#least = least;
    this.#most = most;
  }

  _next(): number {
    const grown = this.#attempt && Math.max(this._spread, LEAST_WINDOW) * 2 ** this.#attempt;
    this.#attempt++;
    return Math.max(this.#least, Math.random() * Math.min(this.#most, grown || this._spread));
  }

  _reset(): void {
    this.#attempt = 0;
  }
}
