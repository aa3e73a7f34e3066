// Requests under way: so many, for so long, and written as soon as there is a connection to write them to.

import type { Connection } from "./connection.js";
import { RefusedError } from "./errors.js";
import type { Frame } from "./frames.js";

/** @internal */
export type Answer = (error: RefusedError | undefined, payload?: any) => void;

/** @internal */
export const refused = ({ payload }: Frame): RefusedError =>
  new RefusedError(payload.code, payload.message, payload.retry_after_ms);

interface Request {
  _id: string;
  _data: string | Uint8Array<ArrayBuffer>;
  _answer: Answer;
  _timer: ReturnType<typeof setTimeout> | undefined;
  _writtenTo?: Connection;
}

/** @internal */
export class Requests {
  #all = new Map<string, Request>();
  #count = 0;
  #options;

  constructor(options: { timeout: number; outbox: number }) {
    this.#options = options;
  }

  /**
   * Write it to `connection`, or keep it until there is one. An object gets an id and is answered, bytes are not. The
   * bounds are for what the application asks; what we ask ourselves (`isOurs`) ends with the connection.
   */
  _ask(what: object, answer: Answer, connection: Connection | undefined, isOurs?: boolean): void {
    const { outbox, timeout } = this.#options;
    if (!isOurs && this.#all.size >= outbox) return answer(new RefusedError("unavailable", "too much waits"));
    const _id = String(++this.#count);
    const _data = what instanceof Uint8Array ? (what as Uint8Array<ArrayBuffer>) : JSON.stringify({ ...what, id: _id });
    const _timer = isOurs ? undefined : setTimeout(() => this._settle(_id), timeout);
    const request: Request = { _id, _data, _answer: answer, _timer };
    this.#all.set(_id, request);
    if (connection) this.#write(request, connection);
  }

  #write(request: Request, connection: Connection): void {
    request._writtenTo = connection;
    connection._send(request._data);
    if (typeof request._data !== "string") this._settle(request._id, { type: "" });
  }

  /** Write what waits. */
  _flush(connection: Connection): void {
    for (const request of this.#all.values()) if (!request._writtenTo) this.#write(request, connection);
  }

  /** Whether this was asked. Without a reply, what was never written is refused; of the rest nobody knows. */
  _settle(id: string | undefined, reply?: Frame): boolean {
    const request = this.#all.get(id!);
    if (!request) return false;
    this.#all.delete(id!);
    clearTimeout(request._timer);
    if (!reply) request._answer(new RefusedError(request._writtenTo ? "outcome_unknown" : "unavailable", "no answer"));
    else if (reply.type === "error") request._answer(refused(reply));
    else request._answer(undefined, reply.payload);
    return true;
  }

  /** Nothing more comes from `connection`; without one, what waits is given up. */
  _giveUp(connection?: Connection): void {
    for (const request of this.#all.values()) if (request._writtenTo === connection) this._settle(request._id);
  }

  /** Whether the application waits for an answer from `connection`. */
  _isWaitingFor(connection: Connection): boolean {
    return [...this.#all.values()].some((request) => request._timer && request._writtenTo === connection);
  }
}
