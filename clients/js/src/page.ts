// What the browser knows about the way to the gateway; where there is no browser, nothing.

/** @internal */
export interface Hints {
  _online(): void;
  /** The connection may be dead without having said so. */
  _doubtful(): void;
  /** The page is put aside, and perhaps brought back. */
  _suspend(): void;
  _resume(): void;
}

const TYPES = ["online", "offline", "pagehide", "pageshow", "visibilitychange"];

/** @internal Tells `hints` until the function that is returned is called. */
export const watchPage = (hints: Hints): (() => void) => {
  const controller = new AbortController();
  const listener = ({ type, persisted }: Partial<PageTransitionEvent>): void => {
    if (type === "online") hints._online();
    else if (type === "pagehide") persisted && hints._suspend();
    else if (type === "pageshow") persisted && hints._resume();
    else hints._doubtful();
  };
  // A controller has a `signal`, and is all the options that it takes.
  for (const type of TYPES) globalThis.addEventListener?.(type, listener, controller);
  return () => controller.abort();
};
