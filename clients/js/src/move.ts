// Make before break: the next connection is made, and has caught up, before the present one is given up.
//
// Meanwhile both deliver. In rooms with history either one is dense, and what is behind the last position is dropped,
// so that what is left is dense too. What is said in other rooms is told by whichever hears it first: the pods write a
// message in the same words, so what the other connection has told already is known by them. Binary
// messages may be told by both.

import type { Connection, Ending } from "./connection.js";
import { makeTimer } from "./timer.js";

/** Milliseconds for which the old connection is still listened to: one pod may hear the bus later than another. */
const LINGER = 300;
/** Milliseconds: the first window in which a connection that failed is tried again. */
const RETRY = 300;
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
export interface Move {
  /** The next connection. */
  _to: Connection | undefined;
  /** It is tried again for as long as the old connection lasts. */
  _failed(): void;
  /** Whether what has no position, and was heard on `connection`, has been told by the other one. */
  _isRepeat(connection: Connection, text: string): boolean;
  /** Something happened: see whether it is time for the next step. */
  _check(): void;
  /** The old connection has nothing more to say; with an `ending` where it went by itself, perhaps too early. */
  _finish(ending?: Ending): void;
  /** Give up the connection that is not the present one. */
  _end(): void;
}

/** @internal From `from`, in so many milliseconds. */
export const makeMove = (mover: Mover, from: Connection, after: number): Move => {
  const timer = makeTimer();
  let failures = 0;
  let hasCutOver = false;
  let isOver = false;
  /** By its text, how often the old connection has told a message more than the new one. */
  const told = new Map<string, number>();

  const open = (): void =>
    mover._dial((connection) => {
      move._to = connection;
      if (isOver) connection._close();
    }, move._failed);

  const cutOver = (ending?: Ending): void => {
    hasCutOver = true;
    mover._cutOver(move._to!, ending);
    linger();
  };

  const linger = (): void => void timer(() => (mover._isWaitingFor(from) ? linger() : move._finish()), LINGER);

  const move: Move = {
    _to: undefined,
    _failed() {
      move._to = undefined;
      if (!isOver) timer(open, Math.random() * RETRY * 2 ** failures++);
    },
    _isRepeat(connection, text) {
      if (!move._to) return false;
      const side = connection === from ? 1 : -1;
      const balance = (told.get(text) ?? 0) + side;
      told.delete(text);
      if (balance && told.size < MOST_TOLD) told.set(text, balance);
      return balance * side <= 0;
    },
    _check() {
      if (!hasCutOver && move._to?._welcome && mover._isLive(move._to)) cutOver();
    },
    _finish(ending) {
      if (!hasCutOver) cutOver(ending);
      if (isOver) return;
      isOver = true;
      move._to = undefined;
      timer();
      from._close();
      mover._moved();
    },
    _end() {
      if (hasCutOver) move._finish();
      else move._to?._close();
      isOver = true;
      timer();
    },
  };

  timer(open, after);
  return move;
};
