// Make before break: the next connection is made, and has caught up, before the present one is given up.
//
// Meanwhile both deliver. In rooms with history either one is dense, and what is behind the last position is dropped,
// so that what is left is dense too. The rest (other rooms, binary messages) is told by whichever hears it first: the
// pods write a message in the same bytes, so what the other connection has told already is known by them.

import type { Connection, Ending } from "./connection.js";

/** Milliseconds for which the old connection is still listened to: one pod may hear the bus later than another. */
const LINGER = 300;
/** Milliseconds: the first window in which a connection that failed is tried again. */
const RETRY = 250;
/** Milliseconds after which the new connection has told what the old one did, too. */
const MEMORY = 2_000;
/** Messages told by one connection only. */
const MOST_TOLD = 1_000;

/** @internal What a move needs of the client. */
export interface Mover {
  /** A new connection, with a token. */
  _dial(done: (connection: Connection) => void, failed: () => void): void;
  /** Whether each room that is wanted is joined on `connection`, and what was missed has come. */
  _isLive(connection: Connection): boolean;
  _isWaitingFor(connection: Connection): boolean;
  /** `connection` is the one from now on. */
  _cutOver(connection: Connection, ending?: Ending): void;
  _moved(): void;
}

/** @internal */
export class Move {
  _to: Connection | undefined;
  #mover;
  #from;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #failures = 0;
  #hasCutOver = false;
  #over = false;
  /** By its bytes, how often the old connection has told a message more than the new one. */
  #told = new Map<string, number>();

  constructor(mover: Mover, from: Connection, after: number) {
    this.#mover = mover;
    this.#from = from;
    this.#later(after, () => this.#open());
  }

  #open(): void {
    const done = (connection: Connection) => {
      this._to = connection;
      if (this.#over) connection._close();
    };
    this.#mover._dial(done, () => this._failed());
  }

  /** It is tried again for as long as the old connection lasts. */
  _failed(): void {
    this._to = undefined;
    if (!this.#over) this.#later(Math.random() * RETRY * 2 ** this.#failures++, () => this.#open());
  }

  /** Whether a message without a position, heard on `connection`, has not been told by the other one. */
  _isNews(connection: Connection, data: string | ArrayBuffer): boolean {
    if (!this._to) return true;
    const bytes = typeof data === "string" ? data : String(new Uint8Array(data));
    const side = connection === this.#from ? 1 : -1;
    const balance = this.#told.get(bytes) ?? 0;
    this.#told.delete(bytes);
    if (balance + side && this.#told.size < MOST_TOLD) this.#told.set(bytes, balance + side);
    return balance * side >= 0;
  }

  /** Something happened: see whether it is time for the next step. */
  _check(): void {
    if (!this.#hasCutOver && this._to?._welcome && this.#mover._isLive(this._to)) this.#cutOver();
  }

  #cutOver(ending?: Ending): void {
    this.#hasCutOver = true;
    this.#mover._cutOver(this._to!, ending);
    this.#linger();
  }

  #linger(): void {
    this.#later(LINGER, () => (this.#mover._isWaitingFor(this.#from) ? this.#linger() : this._finish()));
  }

  /** The old connection has nothing more to say; with an `ending` where it went by itself, perhaps too early. */
  _finish(ending?: Ending): void {
    if (!this.#hasCutOver) this.#cutOver(ending);
    if (this.#over) return;
    this.#over = true;
    this.#later(MEMORY, () => {
      this._to = undefined;
    });
    this.#from._close();
    this.#mover._moved();
  }

  /** Give up the connection that is not the present one. */
  _end(): void {
    if (this.#hasCutOver) this._finish();
    else this._to?._close();
    this.#over = true;
    clearTimeout(this.#timer);
  }

  #later(ms: number, work: () => void): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(work, ms);
  }
}
