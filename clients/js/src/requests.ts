// Requests under way: so many, for so long, and written as soon as there is a connection to write them to.

import type { Connection } from "./connection.js";
import { RefusedError } from "./errors.js";
import type { Frame } from "./frames.js";
import { makeTimer } from "./timer.js";

/** @internal */
export type Answer = (error: RefusedError | undefined, payload?: any) => void;

/** @internal The payload of an `error`. */
export interface Refusal {
  code: string;
  message?: string;
  retry_after_ms?: number;
}

/** @internal */
export const refused = ({ code, message, retry_after_ms: retryAfter }: Refusal): RefusedError =>
  new RefusedError(message, { code, retryAfter });

interface Request {
  _isBounded: boolean | undefined;
  _writtenTo?: Connection;
  _write(connection: Connection): void;
  /** Without a reply, what was never written is refused; of the rest nobody knows. */
  _settle(reply?: Frame): void;
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
  /** Whether this was asked. */
  _settle(id: string | undefined, reply: Frame): boolean;
  /** Nothing more comes from `connection`; without one, what waits is given up. */
  _giveUp(connection?: Connection): void;
  /** Whether the application waits for an answer from `connection`. */
  _isWaitingFor(connection: Connection): boolean;
}

/** @internal */
export const makeRequests = ({ timeout, outbox }: { timeout: number; outbox: number }): Requests => {
  const all = new Map<string | undefined, Request>();
  let count = 0;

  /** Those written to `connection`; without one, those that wait. */
  const on = (connection?: Connection) => [...all.values()].filter((request) => request._writtenTo === connection);

  return {
    _ask(what, answer, connection, isBounded) {
      if (isBounded && all.size >= outbox) return answer(refused({ code: "unavailable", message: "outbox full" }));
      const id = String(++count);
      const isBytes = what instanceof Uint8Array;
      const data = isBytes ? (what as Uint8Array<ArrayBuffer>) : JSON.stringify({ ...what, id });
      const timer = makeTimer();
      const request: Request = {
        _isBounded: isBounded,
        _write(to) {
          request._writtenTo = to;
          to._send(data);
          if (isBytes) request._settle({ type: "" });
        },
        _settle(
          { type, payload } = {
            type: "error",
            payload: { code: request._writtenTo ? "outcome_unknown" : "unavailable", message: "no answer" },
          },
        ) {
          all.delete(id);
          timer();
          answer(type === "error" ? refused(payload) : undefined, payload);
        },
      };
      all.set(id, request);
      if (isBounded) timer(() => request._settle(), timeout);
      if (connection) request._write(connection);
    },
    _flush: (connection) => on().forEach((request) => request._write(connection)),
    _settle(id, reply) {
      const request = all.get(id);
      request?._settle(reply);
      return !!request;
    },
    _giveUp: (connection) => on(connection).forEach((request) => request._settle()),
    _isWaitingFor: (connection) => on(connection).some((request) => request._isBounded),
  };
};
