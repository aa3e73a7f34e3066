// What a client does after each close code: one verdict per code, no ranges.

/** `return`: come back, with jitter. `once`: come back with a new token; if that is refused too, stop. */
export type Verdict = "return" | "once" | "stop";

/**
 * The close codes that do not mean stop, and what the HTTP statuses of a refused handshake mean. For what is not in it, ask `verdictOf`.
 */
export const verdicts: Readonly<Record<number, Verdict>> = {
  400: "stop",
  401: "once",
  403: "stop",
  404: "stop",
  431: "stop",
  1001: "return",
  1006: "return",
  1011: "return",
  1012: "return",
  1013: "return",
  4401: "once",
  4408: "return",
  4413: "return",
  4429: "return",
};

/** A close code that is not listed means stop. A status that is not comes from a proxy, and passes. */
export const verdictOf = (code: number): Verdict => verdicts[code] ?? (code < 1000 ? "return" : "stop");
