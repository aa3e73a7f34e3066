// One socket and its one life: opened once, welcomed once, ended once, and silent from then on.

import type { Frame, Position } from "./frames.js";
import { type Limits, makePacer, type Pacer } from "./pacing.js";
import { makeTimer } from "./timer.js";
import { subprotocols } from "./token.js";

/** Milliseconds by which a timer is late when the machine has slept. */
const SLEPT = 2_000;

/** Milliseconds for which a question that had no answer is not asked again. */
const QUIET = 10_000;

/** @internal What `welcome` says. */
export interface Welcome {
  connection: string;
  user: string;
  ping_interval_ms: number;
  pong_timeout_ms: number;
  reconnect_spread_ms: number;
  limits: Limits;
}

/** @internal How a connection ended. */
export interface Ending {
  /** A close code, or the status of a refused handshake where it is known. */
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
  /** From the welcome on, what writes. */
  _pacer: Pacer | undefined;
  /** By room what we asked last, and what was said to it. */
  _rooms: Map<object, Membership>;
  /** Ask now whether the gateway is there. */
  _probe(): void;
  /** Say goodbye, and hear nothing more. */
  _close(): void;
}

/** @internal */
export interface Owner {
  /** Until when it is not asked why handshakes are refused. */
  _quietUntil: number;
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
  url: string,
  token: string,
  options: { timeout: number; connectTimeout: number; WebSocket: unknown },
  owner: Owner,
): Connection => {
  const socket: WebSocket & Partial<Ws> = new (options.WebSocket as typeof WebSocket)(url, subprotocols(token));
  const timer = makeTimer();
  let isOver = false;

  const end = (ending?: Ending, isEarly?: boolean, retryAfter?: number): void => {
    if (isOver) return;
    isOver = true;
    timer();
    connection._pacer?._stop();
    connection._rooms.clear();
    owner._ended(connection, ending, isEarly, retryAfter);
  };

  /** Go without waiting for a close handshake, which may never come. */
  const drop = (reason: string, code = 1006, isEarly?: boolean, retryAfter?: number): void => {
    end({ code, reason }, isEarly, retryAfter);
    socket.terminate?.();
    socket.close();
  };

  /** The handshake was refused. A browser does not show why, but it shows the answer to a plain GET, which is the same. */
  const refuse = async (code = 1006, reason = "", retryAfter?: string | null): Promise<void> => {
    if (Date.now() > owner._quietUntil) {
      try {
        const response = await fetch(url.replace("ws", "http"), {
          headers: { authorization: `Bearer ${token}` },
          cache: "no-store",
          signal: AbortSignal.timeout(options.timeout),
        });
        const { status } = response;
        const problem = await response.json().catch(() => ({}));
        // 426: nothing is wrong. Servers that do not know the question may answer with 400 or less.
        if ((status > 400 && status !== 426) || problem.code === "bad_token") {
          code = status;
          reason = problem.detail ?? response.statusText;
          retryAfter = response.headers.get("retry-after");
        } else reason ||= `GET: ${status}`;
      } catch {
        owner._quietUntil = Date.now() + QUIET;
      }
    }
    drop(reason, code, code === 1006, Number(retryAfter) * 1_000 || 0);
  };

  const probe = (isAgain?: boolean): void => {
    const { _add, _pump } = connection._pacer!;
    // In front of what waits, for it asks whether there is somebody to wait for.
    _add({
      _id: 0,
      _data: '{"type":"ping"}',
      _size: 15,
      _sent() {
        const patience = connection._welcome!.pong_timeout_ms;
        const due = Date.now() + patience;
        // After a sleep the answer may lie in the socket unread, so it is asked for once more.
        timer(() => (!isAgain && Date.now() - due > SLEPT ? probe(true) : drop("no pong")), patience);
      },
    });
    _pump();
  };

  const connection: Connection = {
    _welcome: undefined,
    _pacer: undefined,
    _rooms: new Map(),
    _probe: () => connection._pacer && probe(),
    _close() {
      end();
      socket.close(1000);
    },
  };

  socket.binaryType = "arraybuffer";
  socket.onmessage = ({ data }) => {
    if (isOver) return;
    let frame: Frame = { type: "binary", payload: data };
    try {
      if (typeof data === "string") frame = JSON.parse(data);
      if (frame.type === "welcome") {
        connection._welcome = frame.payload;
        connection._pacer = makePacer(frame.payload.limits, socket);
      }
      if (!connection._pacer) throw frame;
    } catch {
      return drop("no Forestay gateway");
    }
    // A browser sees no protocol pings, so it asks when it was quiet for as long as the gateway would wait.
    timer(connection._probe, connection._welcome?.ping_interval_ms);
    owner._heard(connection, frame, data);
  };
  const closed = ({ code, reason, retryAfter }: Ending & { retryAfter?: number }): void => {
    // Deno says 0.
    code ||= 1006;
    // A handshake that came about has agreed on a protocol.
    if (code === 1006 && !socket.protocol && !isOver) refuse();
    else end({ code, reason: reason! }, !socket.protocol, retryAfter);
  };
  socket.onclose = closed;
  // What went wrong comes with the close. But Node 22 does not close what was refused; and `ws` throws errors that nobody
  // listens to.
  socket.onerror = () => setTimeout(() => socket.readyState || closed({ reason: "" }));
  socket.on?.("unexpected-response", (_, { statusCode, statusMessage, headers }) =>
    refuse(statusCode, statusMessage, headers["retry-after"]),
  );
  timer(() => drop("no welcome"), options.connectTimeout);
  return connection;
};
