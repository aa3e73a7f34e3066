// One socket and its one life: opened once, welcomed once, ended once, and silent from then on.

import type { Frame, Position } from "./frames.js";
import { makeTimer } from "./timer.js";
import { subprotocols } from "./token.js";

/** Milliseconds by which a timer is late when the machine has slept. */
const SLEPT = 2_000;

/** @internal What `welcome` says. */
export interface Welcome {
  connection: string;
  user: string;
  ping_interval_ms: number;
  pong_timeout_ms: number;
  reconnect_spread_ms: number;
}

/** @internal How a connection ended. */
export interface Ending {
  /** A close code, or the status of a refused handshake where the WebSocket class shows it. */
  code?: number;
  reason?: string;
}

/** @internal A room on one connection: asked for, and joined as soon as that is answered. */
export interface Membership {
  _joined?: Partial<Position>;
}

/** @internal */
export interface Connection {
  _welcome: Welcome | undefined;
  /** By room what we asked last, and what was said to it. */
  _rooms: Map<object, Membership>;
  _send(data: string | Uint8Array<ArrayBuffer>): void;
  /** Ask now whether the gateway is there. */
  _probe(): void;
  /** Say goodbye, and hear nothing more. */
  _close(): void;
}

/** @internal */
export interface Owner {
  /** The first is a welcome. `data` is as it came. */
  _heard(connection: Connection, frame: Frame, data: string | ArrayBuffer): void;
  /**
   * Without an `ending` it was ours. `isEarly`: before it was open, and nothing says why, so that it may have been the
   * token. `retryAfter`: in milliseconds, where the gateway wants it.
   */
  _ended(connection: Connection, ending?: Ending, isEarly?: boolean, retryAfter?: number): void;
}

/** What `ws` has beyond the standard: it shows a refused handshake, and can hang up at once. */
interface Ws {
  on(event: "unexpected-response", listener: (request: unknown, response: Refused) => void): void;
  terminate(): void;
}

interface Refused {
  statusCode: number;
  statusMessage: string;
  headers: Record<string, string | undefined>;
}

/** @internal */
export const openConnection = (
  url: string | URL,
  token: string,
  options: { connectTimeout: number; WebSocket: unknown },
  owner: Owner,
): Connection => {
  const socket: WebSocket & Partial<Ws> = new (options.WebSocket as typeof WebSocket)(url, subprotocols(token));
  const timer = makeTimer();
  let isOver = false;

  const end = (ending?: Ending, isEarly?: boolean, retryAfter?: number): void => {
    if (isOver) return;
    isOver = true;
    timer();
    connection._rooms.clear();
    owner._ended(connection, ending, isEarly, retryAfter);
  };

  /** Go without waiting for a close handshake, which may never come. */
  const drop = (reason: string, code = 1006, retryAfter?: number): void => {
    end({ code, reason }, false, retryAfter);
    socket.terminate?.();
    socket.close();
  };

  const probe = (isAgain?: boolean): void => {
    const patience = connection._welcome!.pong_timeout_ms;
    const due = Date.now() + patience;
    socket.send('{"type":"ping"}');
    // After a sleep the answer may lie in the socket unread, so it is asked for once more.
    timer(() => (!isAgain && Date.now() - due > SLEPT ? probe(true) : drop("no pong")), patience);
  };

  const connection: Connection = {
    _welcome: undefined,
    _rooms: new Map(),
    _send: (data) => socket.send(data),
    _probe: () => connection._welcome && probe(),
    _close() {
      end();
      socket.close(1000);
    },
  };

  socket.binaryType = "arraybuffer";
  socket.onmessage = ({ data }) => {
    if (isOver) return;
    const frame: Frame = typeof data === "string" ? JSON.parse(data) : { type: "binary", payload: data };
    if (frame.type === "welcome") connection._welcome = frame.payload;
    // A browser sees no protocol pings, so it asks when it was quiet for as long as the gateway would wait.
    timer(connection._probe, connection._welcome?.ping_interval_ms);
    owner._heard(connection, frame, data);
  };
  // A handshake that came about has agreed on a protocol.
  socket.onclose = ({ code, reason }) => end({ code, reason }, !socket.protocol);
  // What went wrong comes with the close; `ws` throws errors that nobody listens to.
  socket.onerror = () => {};
  socket.on?.("unexpected-response", (_, { statusCode, statusMessage, headers }) =>
    drop(statusMessage, statusCode, +headers["retry-after"]! * 1000 || 0),
  );
  timer(() => drop("no welcome"), options.connectTimeout);
  return connection;
};
