// What the browser knows about the way to the gateway; where there is no browser, nothing.

/** @internal */
export type Hints = Record<string, (event: { persisted?: boolean }) => void>;

/** @internal Tells `hints`, by the types of the page's events, until the function that is returned is called. */
export const watchPage = (hints: Hints): (() => void) => {
  const controller = new AbortController();
  // A controller has a `signal`, and is all the options that it takes.
  for (const type in hints) globalThis.addEventListener?.(type, hints[type] as EventListener, controller);
  return () => controller.abort();
};
