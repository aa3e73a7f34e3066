// Events with names and types, a state whose changes are events, and listeners that cannot break what calls them.

/** From one state to another, with the code and the reason where there is one. */
export interface StateChange<State, Code = number> {
  oldState: State;
  state: State;
  code?: Code;
  reason?: string;
}

/** @internal Nobody is to wait any longer: a room is left, or the client has stopped. The event is the error. No event of a user's has a number. */
export const END = 0;

export class Emitter<State, Events extends { state: StateChange<State, unknown> }> {
  declare state: State;
  /** Each knows what it listens to. */
  #listeners = new Set<(name: unknown, event: any) => void>();

  /** @internal */
  constructor(state: State) {
    this.state = state;
  }

  /** Calls `listener` with each event of this name until the function that is returned is called. */
  on<Name extends keyof Events>(name: Name, listener: (event: Events[Name]) => void): () => void;
  /** @internal */
  on(name: typeof END, listener: (error: Error) => void): () => void;
  on(name: unknown, listener: (event: any) => void): () => void {
    const listen = (told: unknown, event: any): void => {
      if (told === name) listener(event);
    };
    this.#listeners.add(listen);
    return () => void this.#listeners.delete(listen);
  }

  /** @internal Resolves with the next event of this name, unless the end comes first. */
  _next<Name extends keyof Events>(name: Name): Promise<Events[Name]> {
    let stop: (() => void)[];
    const next = new Promise<Events[Name]>((resolve, reject) => {
      stop = [this.on(name, resolve), this.on(END, reject)];
    });
    return next.finally(() => stop.forEach((off) => off()));
  }

  /** @internal */
  _emit<Name extends keyof Events>(name: Name | typeof END, event: Events[Name] | Error): void {
    for (const listen of [...this.#listeners]) {
      try {
        listen(name, event);
      } catch (error) {
        // Where uncaught errors go, and not into our own work.
        setTimeout(() => {
          throw error;
        });
      }
    }
  }

  /** @internal */
  _become(state: State, why?: { code?: number | string; reason?: string }): void {
    const oldState = this.state;
    this.state = state;
    if (state !== oldState) this._emit("state", { oldState, state, ...why } as unknown as Events["state"]);
  }
}
