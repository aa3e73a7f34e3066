// Requests under way: so many, for so long, and written as soon as there is a connection to write them to.

import type { Connection } from "./connection.js";
import { RefusedError } from "./errors.js";
import type { Frame } from "./frames.js";

/** @internal */
export type Answer = (error: RefusedError | undefined, payload?: any) => void;

/** @internal The payload of an `error`. */
export interface Refusal {
  code: string;
  message: string;
  retry_after_ms?: number;
}

/** @internal */
export const refused = ({ code, message, retry_after_ms: retryAfter }: Refusal): RefusedError =>
  new RefusedError(message, { code, retryAfter });

/** @internal */
export interface Request {
  _id: string;
  _data: string | Uint8Array<ArrayBuffer>;
  _answer: Answer;
  _timer: ReturnType<typeof setTimeout> | undefined;
  _writtenTo?: Connection;
}

/** @internal */
export interface Requests {
  /**
   * Write it to `connection`, or keep it until there is one. An object gets an id and is answered, bytes are not. The
   * bounds are for what the application asks (`isBounded`); what we ask ourselves ends with the connection.
   */
  _ask(what: object, answer: Answer, connection: Connection | undefined, isBounded?: boolean): void;
  /** Write what waits. */
  _flush(connection: Connection): void;
  /** Whether this was asked. Without a reply, what was never written is refused; of the rest nobody knows. */
  _settle(id: string | undefined, reply?: Frame): boolean;
  /** Nothing more comes from `connection`; without one, what waits is given up. */
  _giveUp(connection?: Connection): void;
  /** Whether the application waits for an answer from `connection`. */
  _isWaitingFor(connection: Connection): boolean;
}

/** @internal */
export const makeRequests = ({ timeout, outbox }: { timeout: number; outbox: number }): Requests => {
  const all = new Map<string, Request>();
  let count = 0;

  /** Those written to `connection`; without one, those that wait. */
  const on = (connection?: Connection) => [...all.values()].filter((request) => request._writtenTo === connection);

  const settle = (id: string | undefined, reply?: Frame): boolean => {
    const request = all.get(id!);
    if (!request) return false;
    all.delete(id!);
    clearTimeout(request._timer);
    const none = { code: request._writtenTo ? "outcome_unknown" : "unavailable", message: "no answer" };
    const { type, payload } = reply ?? { type: "error", payload: none };
    type === "error" ? request._answer(refused(payload)) : request._answer(undefined, payload);
    return true;
  };

  const write = (request: Request, connection: Connection): void => {
    request._writtenTo = connection;
    connection._send(request._data);
    if (typeof request._data !== "string") settle(request._id, { type: "" });
  };

  return {
    _ask(what, answer, connection, isBounded) {
      if (isBounded && all.size >= outbox) return answer(refused({ code: "unavailable", message: "too much waits" }));
      const _id = String(++count);
      const request: Request = {
        _id,
        _data: what instanceof Uint8Array ? (what as Uint8Array<ArrayBuffer>) : JSON.stringify({ ...what, id: _id }),
        _answer: answer,
        _timer: isBounded ? setTimeout(() => settle(_id), timeout) : undefined,
      };
      all.set(_id, request);
      if (connection) write(request, connection);
    },
    _flush: (connection) => on().forEach((request) => write(request, connection)),
    _settle: settle,
    _giveUp: (connection) => on(connection).forEach(({ _id }) => settle(_id)),
    _isWaitingFor: (connection) => on(connection).some(({ _timer }) => _timer),
  };
};
