// The account of the numbers: how many came, which did not, and which came twice.

export class Numbers {
  #seen = new Set();
  #first = Infinity;
  #last = -Infinity;
  repeated = 0;

  /** Whether it is new. */
  hear(number) {
    if (this.#seen.has(number)) {
      this.repeated += 1;
      return false;
    }
    this.#seen.add(number);
    this.#first = Math.min(this.#first, number);
    this.#last = Math.max(this.#last, number);
    return true;
  }

  get heard() {
    return this.#seen.size;
  }

  /** Between the first that came and the last. */
  get missing() {
    return this.heard && this.#last - this.#first + 1 - this.heard;
  }
}
