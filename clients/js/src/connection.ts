// One socket and its one life: opened once, welcomed once, ended once, and silent from then on.

import type { Frame, Position } from "./frames.js";
import { type Limits, makePacer, type Pacer } from "./pacing.js";
import { makeTimer } from "./timer.js";
import { subprotocols } from "./token.js";

/** Milliseconds by which a timer is late when the machine has slept. */
const SLEPT = 2_000;

/** Milliseconds for which a question that had no answer is not asked again. */
const QUIET = 10_000;

const PING = '{"type":"ping"}';

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

/** What is read of a socket: a WebSocket, or a stream in place of one. */
interface Socket extends WebSocket {
  /** Seconds after which it may take more, of a stream. It takes no bytes. */
  busy?: number;
  /** What `ws` has beyond the standard: it hangs up at once. */
  terminate?(): void;
}

/** @internal */
export interface Connection {
  _socket: Socket;
  _welcome: Welcome | undefined;
  /** From the welcome on. */
  _pacer: Pacer | undefined;
  /** By room what we asked last, and what was said to it. */
  _rooms: Map<object, Membership>;
  /** Milliseconds after which to come back, where the gateway has said so. */
  _retryAfter?: number | undefined;
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
  /** Without an `ending` it was ours. */
  _ended(connection: Connection, ending?: Ending): void;
}

/** @internal */
export const openConnection = (
  url: string,
  token: string,
  options: { timeout: number; connectTimeout: number; WebSocket: unknown },
  owner: Owner,
): Connection => {
  const socket = new (options.WebSocket as new (...given: unknown[]) => Socket)(url, subprotocols(token));
  const timer = makeTimer();
  let isOver = false;

  const end = (ending?: Ending): void => {
    if (isOver) return;
    isOver = true;
    timer();
    connection._rooms.clear();
    owner._ended(connection, ending);
  };

  /** Go without waiting for a close handshake, which may never come. */
  const drop = (reason: string, code = 1006): void => {
    end({ code, reason });
    socket.terminate?.();
    socket.close();
  };

  /** The handshake was refused. A browser does not show why, but it shows the answer to a plain GET, which is the same. */
  const refuse = async (): Promise<void> => {
    let code = 1006;
    let reason = "";
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
          connection._retryAfter = Number(response.headers.get("retry-after")) * 1_000;
        } else reason = `GET: ${status}`;
      } catch {
        owner._quietUntil = Date.now() + QUIET;
      }
    }
    drop(reason, code);
  };

  const probe = (isAgain?: boolean): void => {
    const patience = connection._welcome!.pong_timeout_ms;
    const due = Date.now() + patience;
    // In front of what waits, for it asks whether there is somebody to wait for.
    connection._pacer!._spend(1, PING.length);
    socket.send(PING);
    // After a sleep the answer may lie in the socket unread, so it is asked for once more.
    timer(() => (!isAgain && Date.now() - due > SLEPT ? probe(true) : drop("no pong")), patience);
  };

  const connection: Connection = {
    _socket: socket,
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
        connection._pacer = makePacer(frame.payload.limits);
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
    connection._retryAfter = retryAfter;
    // Deno says 0.
    code ||= 1006;
    // A handshake that came about has agreed on a protocol.
    if (code === 1006 && !socket.protocol && !isOver) refuse();
    else end({ code, reason: reason! });
  };
  socket.onclose = closed;
  // What went wrong comes with the close. But Node 22 does not close what was refused; and `ws` throws errors that nobody
  // listens to.
  socket.onerror = () => setTimeout(() => socket.readyState || closed({ reason: "" }));
  timer(() => drop("no welcome"), options.connectTimeout);
  return connection;
};
