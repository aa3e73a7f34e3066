// Events with names and types, and listeners that cannot break what calls them.

export class Emitter<Events> {
  #listeners = new Map<keyof Events, Set<(event: never) => void>>();

  /** Calls `listener` with each event of this name until the function that is returned is called. */
  on<Name extends keyof Events>(name: Name, listener: (event: Events[Name]) => void): () => void {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners.add(listener));
    return () => void listeners.delete(listener);
  }

  /** @internal Whether anybody listened. */
  _emit<Name extends keyof Events>(name: Name, event: Events[Name]): void {
    for (const listener of [...(this.#listeners.get(name) ?? [])] as ((event: Events[Name]) => void)[]) {
      try {
        listener(event);
      } catch (error) {
        // Where uncaught errors go, and not into our own work.
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}
