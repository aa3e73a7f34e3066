// One socket and its one life: opened once, welcomed once, ended once, and silent from then on.

import type { Frame, Position } from "./frames.js";
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
  code?: number | undefined;
  reason?: string;
  /** Before it was open, and nothing says why: it may have been the token. */
  _early?: boolean;
  _retryAfter?: number | undefined;
}

/** @internal */
export interface Owner {
  _welcomed(connection: Connection): void;
  /** `data` as it came. A binary message has no `frame`. */
  _heard(connection: Connection, frame: Frame | undefined, data: string | ArrayBuffer): void;
  /** Without an `ending` it was ours. */
  _ended(connection: Connection, ending?: Ending): void;
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
export class Connection {
  _welcome: Welcome | undefined;
  /** By room what its `joined` said, and as long as that is awaited a symbol for the request. */
  _rooms = new Map<object, Partial<Position> | symbol>();
  #socket: WebSocket & Partial<Ws>;
  #owner;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #due = 0;
  #heardAt = 0;
  #probes = 0;
  #over = false;

  constructor(url: string, token: string, patience: number, Class: typeof WebSocket, owner: Owner) {
    this.#owner = owner;
    const socket: WebSocket & Partial<Ws> = (this.#socket = new Class(url, subprotocols(token)));
    let early = true;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      early = false;
    };
    socket.onmessage = ({ data }) => this.#hear(data);
    socket.onclose = ({ code, reason }) => this.#end({ code, reason, _early: early });
    // What went wrong comes with the close; `ws` throws errors that nobody listens to.
    socket.onerror = () => {};
    socket.on?.("unexpected-response", (_, { statusCode, statusMessage, headers }) =>
      this._drop(statusMessage, statusCode, +headers["retry-after"]! * 1000),
    );
    this.#timer = setTimeout(() => this._drop("no welcome"), patience);
  }

  _send(data: string | Uint8Array<ArrayBuffer>): void {
    this.#socket.send(data);
  }

  /** Say goodbye, and hear nothing more. */
  _close(): void {
    this.#end();
    this.#socket.close(1000);
  }

  /** Go without waiting for a close handshake, which may never come. */
  _drop(reason: string, code = 1006, _retryAfter?: number): void {
    this.#end({ code, reason, _retryAfter });
    const socket = this.#socket;
    (socket.terminate ?? socket.close).call(socket);
  }

  /** Ask now whether the gateway is there. */
  _probe(): void {
    if (!this._welcome || this.#over) return;
    this.#probes++;
    this._send('{"type":"ping"}');
    this.#watchIn(this._welcome.pong_timeout_ms);
  }

  #watchIn(ms: number): void {
    clearTimeout(this.#timer);
    this.#due = Date.now() + ms;
    this.#timer = setTimeout(() => this.#watch(), ms);
  }

  /** A browser sees no protocol pings, so it asks when it was quiet for as long as the gateway would wait. */
  #watch(): void {
    const now = Date.now();
    const rest = this.#heardAt + this._welcome!.ping_interval_ms - now;
    if (!this.#probes && rest > 0) this.#watchIn(rest);
    // After a sleep the answer may lie in the socket unread, so it is asked for once more.
    else if (!this.#probes || (this.#probes < 2 && now - this.#due > SLEPT)) this._probe();
    else this._drop("no sign of life");
  }

  #hear(data: string | ArrayBuffer): void {
    if (this.#over) return;
    this.#heardAt = Date.now();
    this.#probes = 0;
    const frame: Frame | undefined = typeof data === "string" ? JSON.parse(data) : undefined;
    if (frame?.type !== "welcome") return this.#owner._heard(this, frame, data);
    this._welcome = frame.payload;
    this.#watchIn(frame.payload.ping_interval_ms);
    this.#owner._welcomed(this);
  }

  #end(ending?: Ending): void {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#timer);
    this._rooms.clear();
    this.#owner._ended(this, ending);
  }
}
