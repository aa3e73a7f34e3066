// What a client does after each close code: one verdict per code, no ranges.

/** `return`: come back, with jitter. `once`: come back with a new token; if that is refused too, stop. */
export type Verdict = "return" | "once" | "stop";

/** The table of the protocol. A code that is not in it means `stop`; ask `verdictOf`. */
export const verdicts: Readonly<Record<number, Verdict>> = {
  1000: "stop",
  1001: "return",
  1002: "stop",
  1006: "return",
  1007: "stop",
  1008: "stop",
  1009: "stop",
  1011: "return",
  1012: "return",
  1013: "return",
  4401: "once",
  4403: "stop",
  4408: "return",
  4409: "stop",
  4413: "return",
  4429: "return",
};

export const verdictOf = (code: number): Verdict => verdicts[code] ?? "stop";

/** The same for a handshake that was refused with an HTTP status, where the WebSocket class shows it. */
export const verdictOfStatus = (status: number): Verdict =>
  status === 401 ? "once" : status >= 400 && status < 500 && status !== 429 ? "stop" : "return";
