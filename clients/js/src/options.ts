// What an application may choose, and what is chosen for it.

/** Makes what is used in place of the WebSocket class; `forestay/stream` has one. */
export type Transport = (
  options: Pick<ClientOptions, "transports" | "WebSocket"> & { connectTimeout: number },
) => unknown;

export interface ClientOptions {
  /** Called when a token is needed. Throw an `UnauthorizedError` to stop; after any other error it is called again. */
  getToken: () => string | Promise<string>;
  /** Milliseconds for an answer, waiting for a connection included. Default 5,000. */
  timeout?: number;
  /** Milliseconds until `welcome`. Default 10,000. */
  connectTimeout?: number;
  /** Milliseconds: the least time before coming back. Default 0, for the gateway spreads its clients. */
  minDelay?: number;
  /** Milliseconds: the longest time before coming back. Default 30,000. */
  maxDelay?: number;
  /** Milliseconds before the end of a token at which the next one is asked for. Default 30,000. */
  refreshMargin?: number;
  /** Requests that may wait for a connection or an answer; more are refused. Default 1,000. */
  outbox?: number;
  /** Messages that may wait for a `for await` loop. Default 1,000. */
  inbox?: number;
  /** `["websocket", stream]`: event streams where WebSockets are blocked. Default `["websocket"]`. */
  transports?: ("websocket" | Transport)[] | undefined;
  /** Used in place of the global `WebSocket`. */
  WebSocket?: unknown;
}

/** @internal */
export const DEFAULTS = {
  timeout: 5_000,
  connectTimeout: 10_000,
  minDelay: 0,
  maxDelay: 30_000,
  refreshMargin: 30_000,
  outbox: 1_000,
  inbox: 1_000,
};
/** @internal Milliseconds after `welcome`: a connection that lives this long is a good one. */
export const STEADY = 10_000;
/** @internal Milliseconds before its end from which a token is not worth connecting with. */
export const NEARLY_OVER = 5_000;
/** @internal Milliseconds. The application is not asked for tokens more often. */
export const PAUSE = 1_000;
/** @internal Milliseconds. The window to come back in grows from here, where the gateway announces less. */
export const LEAST_WINDOW = 500;
/** @internal Milliseconds: a timer is good for no more than 32 bits. */
export const LONGEST_TIMER = 1_000_000_000;
