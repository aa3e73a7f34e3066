// Make before break: the next connection is made, and has caught up, before the present one is given up.
//
// In rooms with history both connections deliver, and a position that was there already is dropped: either one is dense,
// so what is left is dense too. What has no position (other rooms, binary messages) is taken from the old connection as
// long as it lives; the new one's is held back until then, and what the old one has told already is not told again. The
// pods write a message in the same bytes, so equal bytes are the same message.

import type { Connection, Owner } from "./connection.js";
import type { Ending, Frame } from "./frames.js";

/** Milliseconds for which the old connection is still listened to: one pod may hear the bus later than another. */
const LINGER = 300;
/** Milliseconds after which nothing arrives any more that the old connection told. */
const MEMORY = 2_000;
/** Messages held back: beyond it the old connection is given up, so that nothing has to be dropped. */
const MOST_HELD = 1_000;
/** Milliseconds: the first window in which a connection that failed is tried again. */
const RETRY = 250;

type Data = string | ArrayBuffer;

/** @internal What a move needs of the client. */
export interface Mover extends Owner {
  /** Connects with a token, while `isWanted`. */
  _dial(isWanted: () => boolean, done: (connection: Connection) => void, failed: () => void): void;
  /** Whether this room has another epoch on `next`, so that the positions of before say nothing. */
  _isApart(room: string, next: Connection | undefined): boolean;
  /** Whether each room that is wanted is live on `connection`. */
  _caughtUp(connection: Connection): boolean;
  /** `connection` is the one from now on. */
  _cutOver(connection: Connection, ending: Partial<Ending>): void;
  _deliver(frame: Frame | undefined, data: Data): void;
  _moved(): void;
}

const text = (data: Data): string => (typeof data === "string" ? data : String(new Uint8Array(data)));

/** @internal */
export class Move {
  _to: Connection | undefined;
  /** Requests wait, so that none overtakes one whose answer is still to come on the old connection. */
  _settling = false;
  #mover;
  #from;
  #deadline;
  #timer: ReturnType<typeof setTimeout>;
  #attempt = 0;
  #state: "moving" | "lingering" | "moved" | "over" = "moving";
  #held: [Frame | undefined, Data][] = [];
  /** What the old connection told, and how often. */
  #told = new Map<string, number>();

  constructor(mover: Mover, from: Connection, after: number, within: number) {
    this.#mover = mover;
    this.#from = from;
    this.#deadline = Date.now() + within;
    this.#timer = setTimeout(() => this.#open(), after);
  }

  /** Whether `connection` is the old one, and still listened to. */
  _isFrom(connection: Connection): boolean {
    return connection === this.#from;
  }

  /** Whether there are two connections. */
  get _isBusy(): boolean {
    return !!this._to && this.#isUnderWay;
  }

  get #isUnderWay(): boolean {
    return this.#state === "moving" || this.#state === "lingering";
  }

  #open(): void {
    this.#mover._dial(
      () => this.#state === "moving",
      (connection) => {
        this._to = connection;
      },
      () => this._failed(),
    );
  }

  /** The new connection came to nothing. While there is time it is tried again; then the old one ends like any other. */
  _failed(): void {
    this._to = undefined;
    this._settling = false;
    this.#held = [];
    const wait = Math.random() * RETRY * 2 ** this.#attempt++;
    if (Date.now() + wait < this.#deadline) this.#timer = setTimeout(() => this.#open(), wait);
  }

  /** Whether what `connection` heard is to be told now. */
  _admits(connection: Connection, frame: Frame | undefined, data: Data): boolean {
    if (frame?.epoch) return connection === this._to || !this.#mover._isApart(frame.room!, this._to);
    if (frame && !/^(broadcast|user-)/.test(frame.type)) return true;
    if (connection === this.#from) {
      if (this._to) this.#told.set(text(data), (this.#told.get(text(data)) ?? 0) + 1);
      return true;
    }
    if (!this.#isUnderWay) return this.#isNews(data);
    if (this.#held.push([frame, data]) > MOST_HELD) this._finish();
    return false;
  }

  #isNews(data: Data): boolean {
    if (!this.#told.size) return true;
    const count = this.#told.get(text(data));
    if (count) this.#told.set(text(data), count - 1);
    return !count;
  }

  /** Something happened: see whether it is time for the next step. */
  _check(): void {
    if (this.#state !== "moving" || !this._to?._welcome) return;
    this._settling ||= this.#mover._caughtUp(this._to);
    if (this._settling && !this.#from._pending) this.#cutOver();
  }

  #cutOver(ending: Partial<Ending> = {}): void {
    this._settling = false;
    this.#state = "lingering";
    this.#timer = setTimeout(() => this._finish(), Math.min(LINGER, (this.#deadline - Date.now()) / 2));
    this.#mover._cutOver(this._to!, ending);
  }

  /** The old connection has nothing more to say; `ending` where it ended by itself, perhaps too early. */
  _finish(ending?: Ending): void {
    if (this.#state === "moving") this.#cutOver(ending);
    if (this.#state !== "lingering") return;
    this.#state = "moved";
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#told.clear(), MEMORY);
    this.#from._close();
    for (const [frame, data] of this.#held.splice(0)) if (this.#isNews(data)) this.#mover._deliver(frame, data);
    this.#mover._moved();
  }

  /** Hand over the next connection as it is, and have nothing more to do with it. */
  _release(): Connection {
    const next = this._to!;
    this._to = undefined;
    return next;
  }

  /** Give up the connection that is not the present one. */
  _end(): void {
    if (this.#state === "lingering") this._finish();
    if (this.#state === "moving") this._to?._close();
    this.#state = "over";
    clearTimeout(this.#timer);
  }
}
