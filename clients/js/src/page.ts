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

/** @internal Tells `hints` until the function that is returned is called. */
export const watchPage = (hints: Hints): (() => void) => {
  const controller = new AbortController();
  const listen = (target: EventTarget | undefined, type: string, listener: (event: Event) => void) =>
    target?.addEventListener?.(type, listener, controller);
  const { document } = globalThis;
  listen(globalThis, "online", () => hints._online());
  listen(globalThis, "offline", () => hints._doubtful());
  listen(globalThis, "pagehide", (event) => (event as PageTransitionEvent).persisted && hints._suspend());
  listen(globalThis, "pageshow", (event) => (event as PageTransitionEvent).persisted && hints._resume());
  listen(document, "visibilitychange", () => document.visibilityState === "visible" && hints._doubtful());
  return () => controller.abort();
};
