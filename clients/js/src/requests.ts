// Requests under way: so many, for so long, and written as soon as a connection takes them, in their order.

import type { CallOptions } from "./client.js";
import type { Connection } from "./connection.js";
import { encode, type Packed } from "./encode.js";
import { type RefusedError, refused, refusedBy } from "./errors.js";
import type { Frame } from "./frames.js";
import { LONGEST_TIMER } from "./options.js";
import { makeTimer, type Timer } from "./timer.js";

/** @internal */
export type Answer = (error: RefusedError | null, payload?: any) => void;

const encoder = new TextEncoder();

/** Milliseconds to wait after a refusal that names no time. */
const PAUSE = 1_000;

interface Request {
  _id: number;
  /** Absent while its bytes are being read. */
  _data: string | Uint8Array<ArrayBuffer> | undefined;
  _size: number;
  /** Whether it has no answer: bytes. */
  _isSilent: boolean;
  /** A room to join. It may share a message with others. */
  _join?: object;
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
  /** Whether it is not to be written any more. */
  _isVain: (() => boolean) | undefined;
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
  /** In the order in which they were asked. */
  const all = new Set<Request>();
  let count = 0;

  /** Those of `connection`; without one, those that wait for one. */
  const on = (connection?: Connection) => [...all].filter(({ _on }) => _on === connection);

  /** Without an outcome, what was never written is refused; of the rest nobody knows. */
  const settle = (
    request: Request,
    error: RefusedError | null = (!request._as && request._refusal) ||
      refused(
        request._as ? "outcome_unknown" : "unavailable",
        "not sent in time: no connection, see client.error, or call connect()",
      ),
    payload?: unknown,
  ): void => {
    if (!all.delete(request)) return;
    request._timer();
    request._answer(error, payload);
  };

  const wait = (request: Request): void =>
    void request._timer(() => settle(request), Math.min(request._bounds?.timeout ?? timeout, LONGEST_TIMER));

  /** What is to be written to `connection`. What is vain by now is dropped. */
  const queueOf = (connection: Connection) =>
    on(connection).filter((request) => {
      const isVain = !request._as && request._isVain?.();
      if (isVain) settle(request, null);
      return !request._as && !isVain;
    });

  /** Write to `connection` what waits for it, as far as it may be written now. */
  const pump = (connection: Connection): void => {
    const { _pacer, _socket, _welcome } = connection;
    const { message_bytes, rooms_per_join = 1 } = _welcome!.limits;
    for (;;) {
      // First, for it is soon found out. What waits may be long.
      const delay = Math.max(_pacer!._wait(), (_socket.busy || 0) * 1_000);
      if (delay > 0) return void _pacer!._timer(() => pump(connection), Math.ceil(delay));
      const queue = queueOf(connection);
      const first = queue[0];
      if (!first?._data) return;
      let together = 1;
      let size = first._size;
      const fits = (next: Request | undefined): boolean | undefined =>
        next?._join && together < rooms_per_join && _pacer!._allows(together + 1) && size + next._size <= message_bytes;
      if (first._join) while (fits(queue[together])) size += queue[together++]!._size;
      const written = queue.slice(0, together);
      for (const request of written) {
        request._as = first._id;
        if (request._isSilent) settle(request, null);
        else if (request._bounds) wait(request);
      }
      _pacer!._spend(together, size);
      _socket.send(
        together > 1
          ? JSON.stringify({ type: "join", rooms: written.map(({ _join }) => _join), id: `${first._id}` })
          : first._data,
      );
    }
  };

  const write = (request: Request, connection: Connection): void => {
    const size = request._size;
    const limit = connection._welcome!.limits.message_bytes;
    if (size > limit) {
      return settle(request, refused("too_large", `${size} bytes are more than ${limit}`, { size, limit }));
    }
    if (request._isSilent && connection._socket.busy != null) {
      return settle(request, refused("needs_websocket", "binary"));
    }
    request._timer();
    request._on = connection;
    // Rooms that are joined together are written together, if the connection is still there.
    if (request._join) queueMicrotask(() => all.has(request) && pump(connection));
    else pump(connection);
  };

  return {
    _ask(what, answer, connection, bounds, isVain) {
      const signal = bounds?.signal;
      if (signal?.aborted) return answer(signal.reason);
      if (bounds && [...all].filter(({ _bounds }) => _bounds).length >= outbox) {
        return answer(refused("unavailable", "outbox full"));
      }
      const id = ++count;
      const { type, ...join } = what as Frame;
      const { _data, _size, _reading } = what as Packed;
      const request: Request = {
        _id: id,
        _data,
        _size,
        _isSilent: !type,
        _bounds: bounds,
        _timer: makeTimer(),
        _answer(error, payload) {
          signal?.removeEventListener("abort", abort);
          answer(error, payload);
        },
        _isVain: isVain,
      };
      const abort = () => settle(request, signal!.reason);
      if (type) {
        try {
          request._data = encode({ ...what, id: `${id}` });
        } catch (error) {
          return answer(error as RefusedError);
        }
        request._size = encoder.encode(request._data).length;
        if (type === "join") request._join = join;
      }
      _reading
        ?.then(
          (bytes) => {
            request._data = bytes;
          },
          () => settle(request, refused("bad_binary", "unreadable Blob")),
        )
        .then(() => request._on && pump(request._on));
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
        connection._pacer!._hold(error.retryAfter ?? PAUSE);
        pump(connection);
      } else for (const request of answered) settle(request, error, payload);
      return !!answered[0];
    },
    _giveUp(connection) {
      connection?._pacer?._timer();
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
