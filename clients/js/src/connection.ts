// One socket and its one life: opened once, welcomed once, ended once, and silent from then on.

import type { Answer, Ending, Frame, Position } from "./frames.js";
import { subprotocols } from "./token.js";

/** Milliseconds by which a timer may be late before we take it that the machine slept. */
const SLEPT = 2_000;

/** @internal What `welcome` says. */
export interface Welcome {
  connection: string;
  user: string;
  ping_interval_ms: number;
  pong_timeout_ms: number;
  reconnect_spread_ms: number;
}

/** @internal What is to be written, and who wants to know what came of it. */
export interface Request {
  /** Absent where nothing answers. */
  _id?: string;
  _data: string | Uint8Array<ArrayBuffer>;
  _answer: Answer;
}

/** @internal How far a room has come on one connection. */
export interface Membership {
  _joined?: boolean;
  /** The position from which the room is live here. */
  _live?: Position | undefined;
  /** What another connection says has nothing to do with what is said here: the epochs differ. */
  _apart?: boolean;
  /** Left before the answer to the join: then there is nothing to leave yet, and soon there is. */
  _onLeft?: () => void;
}

/** @internal What `reconnect` announces, in milliseconds. */
export interface Notice {
  after_ms: number;
  within_ms: number;
}

/** @internal */
export interface Owner {
  _welcomed(connection: Connection): void;
  /** A message that answers nothing; `data` as it came. A binary one has no `frame`. */
  _heard(connection: Connection, frame: Frame | undefined, data: string | ArrayBuffer): void;
  _ended(connection: Connection, ending: Ending): void;
  /** Nothing written waits for an answer any more. */
  _settled(connection: Connection): void;
}

/** What a WebSocket class may have beyond the standard: `ws` shows a refused handshake, and hangs up at once. */
interface Ws {
  on(event: "unexpected-response", listener: (request: unknown, response: Refused) => void): void;
  terminate(): void;
}

interface Refused {
  statusCode: number;
  statusMessage: string;
  headers: Record<string, string | undefined>;
}

type Timer = ReturnType<typeof setTimeout>;

/** @internal */
export class Connection {
  _welcome: Welcome | undefined;
  _rooms = new Map<object, Membership>();
  _notice: Notice | undefined;
  #socket: WebSocket & Partial<Ws>;
  #owner;
  #pending = new Map<string, Answer>();
  #later = new Set<Timer>();
  #timer: Timer | undefined;
  #due = 0;
  #heardAt = 0;
  #probes = 0;
  #opened = false;
  #over = false;

  constructor(url: string, token: string, patience: number, Class: typeof WebSocket, owner: Owner) {
    this.#owner = owner;
    const socket: WebSocket & Partial<Ws> = (this.#socket = new Class(url, subprotocols(token)));
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      this.#opened = true;
    };
    socket.onmessage = ({ data }) => this.#hear(data);
    socket.onclose = ({ code, reason }) => this.#end({ code, reason, _early: !this.#opened });
    // What went wrong comes with the close event; `ws` throws errors that nobody listens to.
    socket.onerror = () => {};
    socket.on?.("unexpected-response", (_, { statusCode, statusMessage, headers }) => {
      const after = Number(headers["retry-after"]) * 1000 || 0;
      this._drop({ code: 1006, reason: `${statusCode} ${statusMessage}`, _status: statusCode, _retryAfter: after });
    });
    this.#timer = setTimeout(() => this._drop({ code: 1006, reason: "no welcome in time" }), patience);
  }

  get _pending(): number {
    return this.#pending.size;
  }

  get _alive(): boolean {
    return !this.#over;
  }

  _send({ _id, _data, _answer }: Request): void {
    if (_id) this.#pending.set(_id, _answer);
    this.#socket.send(_data);
    if (!_id) _answer(undefined);
  }

  /** Give up waiting for an answer. */
  _abandon(id: string): void {
    this.#settle(id);
  }

  /** Do it then, unless the connection is gone by that time. */
  _after(ms: number, work: () => void): void {
    const timer = setTimeout(() => {
      this.#later.delete(timer);
      work();
    }, ms);
    this.#later.add(timer);
  }

  /** Say goodbye, and hear nothing more. */
  _close(): void {
    this.#end();
    this.#socket.close(1000);
  }

  /** Go without waiting for a close handshake, which may never come. */
  _drop(ending: Ending): void {
    this.#end(ending);
    this.#socket.terminate ? this.#socket.terminate() : this.#socket.close();
  }

  /** Ask now whether the gateway is there. */
  _probe(): void {
    if (this.#over || !this._welcome) return;
    this.#probes++;
    this.#socket.send('{"type":"ping"}');
    this.#wake(this._welcome.pong_timeout_ms);
  }

  #wake(after: number): void {
    clearTimeout(this.#timer);
    this.#due = Date.now() + after;
    this.#timer = setTimeout(() => this.#watch(), after);
  }

  /** A browser sees no protocol pings, so it asks when it was quiet for as long as the gateway would wait. */
  #watch(): void {
    const quiet = Date.now() - this.#heardAt;
    const interval = this._welcome!.ping_interval_ms;
    if (this.#probes === 0 && quiet < interval) this.#wake(interval - quiet);
    // After a sleep the answer may lie in the socket unread, so it is asked for once more.
    else if (this.#probes === 0 || (this.#probes === 1 && Date.now() - this.#due > SLEPT)) this._probe();
    else this._drop({ code: 1006, reason: "no sign of life" });
  }

  #hear(data: string | ArrayBuffer): void {
    if (this.#over) return;
    this.#heardAt = Date.now();
    if (this.#probes) {
      this.#probes = 0;
      this.#wake(this._welcome!.ping_interval_ms);
    }
    if (typeof data !== "string") return this.#owner._heard(this, undefined, data);
    const frame: Frame = JSON.parse(data);
    if (frame.type === "welcome") {
      this._welcome = frame.payload;
      this.#wake(frame.payload.ping_interval_ms);
      this.#owner._welcomed(this);
    } else if (!this.#settle(frame.id, frame)) this.#owner._heard(this, frame, data);
  }

  #settle(id: string | undefined, reply?: Frame): boolean {
    const answer = this.#pending.get(id!);
    if (!answer) return false;
    this.#pending.delete(id!);
    answer(reply);
    if (!this.#pending.size && !this.#over) this.#owner._settled(this);
    return true;
  }

  #end(ending?: Ending): void {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#timer);
    this.#later.forEach(clearTimeout);
    // The owner first: what was never answered is told to a client that knows it has lost the connection.
    if (ending) this.#owner._ended(this, ending);
    for (const id of [...this.#pending.keys()]) this.#settle(id);
  }
}
