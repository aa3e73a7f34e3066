// Messages on their way to a `for await` loop: so many of them, and the oldest give way.

/** @internal */
export class Inbox<T> implements AsyncIterableIterator<T> {
  #messages: T[] = [];
  #readers: ((result: IteratorResult<T>) => void)[] = [];
  #most;
  #overflowed;
  #closed;
  #over = false;
  #full = false;

  constructor(most: number, overflowed: () => void, closed: (inbox: Inbox<T>) => void) {
    this.#most = most;
    this.#overflowed = overflowed;
    this.#closed = closed;
  }

  _add(message: T): void {
    const reader = this.#readers.shift();
    if (reader) return reader({ value: message, done: false });
    this.#messages.push(message);
    if (this.#messages.length <= this.#most) return;
    this.#messages.shift();
    if (!this.#full) this.#overflowed();
    this.#full = true;
  }

  /** What has arrived is still read; then the loop ends. */
  _end(): void {
    this.#over = true;
    for (const reader of this.#readers.splice(0)) reader({ value: undefined, done: true });
  }

  next(): Promise<IteratorResult<T>> {
    if (this.#messages.length) {
      this.#full = false;
      return Promise.resolve({ value: this.#messages.shift()!, done: false });
    }
    if (this.#over) return Promise.resolve({ value: undefined, done: true });
    return new Promise((resolve) => this.#readers.push(resolve));
  }

  return(): Promise<IteratorResult<T>> {
    this.#closed(this);
    this.#messages = [];
    this._end();
    return this.next();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
