// Requests under way: so many, for so long, and written as soon as a connection takes them.

import type { CallOptions } from "./client.js";
import type { Connection } from "./connection.js";
import { encode, type Packed } from "./encode.js";
import { type RefusedError, refused, refusedBy } from "./errors.js";
import type { Frame } from "./frames.js";
import { LONGEST_TIMER } from "./options.js";
import type { Parcel } from "./pacing.js";
import { makeTimer, type Timer } from "./timer.js";

/** @internal */
export type Answer = (error: RefusedError | null, payload?: any) => void;

const encoder = new TextEncoder();

/** Milliseconds to wait after a refusal that names no time. */
const PAUSE = 1_000;

interface Request extends Parcel {
  /** Of what the application asks. */
  _bounds: CallOptions | undefined;
  /** Where it is answered, or waits to be written. */
  _on?: Connection | undefined;
  /** The id of the message that it was written in. */
  _as?: number | undefined;
  /** The last one because of the rate, after which it is written again. */
  _refusal?: RefusedError;
  /** How long the application waits: for a connection, and for the answer after it is written. */
  _timer: Timer;
  _answer: Answer;
}

/** @internal */
export interface Requests {
  /**
   * Write it to `connection`, or keep it until there is one. A frame gets an id and is answered, bytes are not. The
   * bounds are for what the application asks (`bounds`); what we ask ourselves ends with the connection. `isVain`: it is
   * not to be written any more.
   */
  _ask(
    what: object | Packed,
    answer: Answer,
    connection: Connection | undefined,
    bounds?: CallOptions,
    isVain?: () => boolean,
  ): void;
  /** Write to `connection` what was not written anywhere. */
  _flush(connection: Connection): void;
  /** Whether this was asked. */
  _settle(reply: Frame, connection: Connection): boolean;
  /** Nothing more comes from `connection`; without one, what waits is given up. */
  _giveUp(connection?: Connection): void;
  /** Whether the application waits for an answer from `connection`. */
  _isWaitingFor(connection: Connection): boolean;
}

/** @internal */
export const makeRequests = ({ timeout, outbox }: { timeout: number; outbox: number }): Requests => {
  const all = new Set<Request>();
  let count = 0;

  /** Those of `connection`; without one, those that wait for one. */
  const on = (connection?: Connection) => [...all].filter(({ _on }) => _on === connection);

  const unqueue = (request: Request): void => {
    const queue = request._on?._pacer?._queue ?? [];
    // What is not in it has the last index of all.
    queue.splice(queue.indexOf(request) >>> 0, 1);
  };

  /** Without an outcome, what was never written is refused; of the rest nobody knows. */
  const settle = (
    request: Request,
    error: RefusedError | null = (!request._as && request._refusal) ||
      refused(
        request._as ? "outcome_unknown" : "unavailable",
        "not sent in time: no connection; was connect() called? client.error says why",
      ),
    payload?: unknown,
  ): void => {
    if (!all.delete(request)) return;
    request._timer();
    unqueue(request);
    request._answer(error, payload);
  };

  const wait = (request: Request): void =>
    void request._timer(() => settle(request), Math.min(request._bounds?.timeout ?? timeout, LONGEST_TIMER));

  const write = (request: Request, connection: Connection): void => {
    const size = request._size;
    const limit = connection._welcome!.limits.message_bytes;
    if (size > limit) {
      return settle(request, refused("too_large", `${size} bytes are more than ${limit}`, { size, limit }));
    }
    const { _add, _pump, _isText } = connection._pacer!;
    if (_isText && typeof request._data !== "string") return settle(request, refused("needs_websocket", "binary"));
    request._timer();
    unqueue(request);
    request._on = connection;
    _add(request);
    // Rooms that are joined together are written together.
    if (request._join) queueMicrotask(_pump);
    else _pump();
  };

  return {
    _ask(what, answer, connection, bounds, isVain) {
      const signal = bounds?.signal;
      if (signal?.aborted) return answer(signal.reason);
      if (bounds && [...all].filter(({ _bounds }) => _bounds).length >= outbox) {
        return answer(refused("unavailable", "outbox full"));
      }
      const id = ++count;
      const { _bytes, _size } = what as Packed;
      const request: Request = {
        _id: id,
        _bounds: bounds,
        _size,
        _timer: makeTimer(),
        _answer(error, payload) {
          signal?.removeEventListener("abort", abort);
          answer(error, payload);
        },
        _isOff() {
          if (!isVain?.()) return;
          settle(request, null);
          return true;
        },
        _sent(as) {
          request._as = as;
          if (_bytes) settle(request, null);
          else if (bounds) wait(request);
        },
      };
      const abort = () => settle(request, signal!.reason);
      const read = (bytes?: Uint8Array<ArrayBuffer>): void => {
        if (bytes) request._data = bytes;
        else settle(request, refused("bad_binary", "unreadable Blob"));
        request._on?._pacer?._pump();
      };
      try {
        if (!_bytes) {
          const { type, ...join } = what as Frame;
          if (type === "join") request._join = join;
          request._size = encoder.encode((request._data = encode({ ...what, id: `${id}` }))).length;
        } else if (_bytes instanceof Uint8Array) read(_bytes);
        else _bytes.then(read, () => read());
      } catch (error) {
        return answer(error as RefusedError);
      }
      all.add(request);
      signal?.addEventListener("abort", abort);
      if (connection) write(request, connection);
      else wait(request);
    },
    _flush(connection) {
      for (const request of all) {
        if (request._bounds && !request._as && request._on !== connection) write(request, connection);
      }
    },
    _settle(reply, connection) {
      const { id, room, type, payload } = reply;
      const error = type === "error" ? refusedBy(payload) : null;
      // The answers to a `join` of many rooms all have its id, and the room that they are about.
      const isAnswered = ({ _as, _join }: Request) =>
        _as === Number(id) && (!_join || !room || (_join as Frame).room === room);
      const answered = id ? [...all].filter(isAnswered) : [];
      if (error?.code === "rate_limited") {
        for (const request of answered) {
          request._as = undefined;
          request._refusal = error;
        }
        const { _add, _hold, _pump } = connection._pacer!;
        _hold(error.retryAfter ?? PAUSE);
        _add(...answered);
        _pump();
      } else for (const request of answered) settle(request, error, payload);
      return !!answered[0];
    },
    _giveUp(connection) {
      for (const request of on(connection)) {
        if (!connection || request._as || !request._bounds) settle(request);
        else {
          request._on = undefined;
          wait(request);
        }
      }
    },
    _isWaitingFor: (connection) => on(connection).some(({ _bounds }) => _bounds),
  };
};
