// Requests under way: so many, for so long, and written as soon as there is a connection to write them to.

import type { Connection, Request } from "./connection.js";
import { refusal } from "./frames.js";

/** @internal */
export class Outbox {
  /** With the connection that each was written to. */
  #requests = new Map<Request, Connection | undefined>();
  #timeout;
  #most;

  constructor(timeout: number, most: number) {
    this.#timeout = timeout;
    this.#most = most;
  }

  _put(request: Request, connection: Connection | undefined): void {
    const answer = request._answer;
    if (this.#requests.size >= this.#most) return answer(refusal("unavailable", "too much is waiting"));
    const timer = setTimeout(() => {
      // What was never written is refused; what was written and not answered is of unknown outcome.
      const writtenTo = this.#requests.get(request);
      if (writtenTo) writtenTo._abandon(request._id!);
      else this.#refuse(request);
    }, this.#timeout);
    request._answer = (reply) => {
      clearTimeout(timer);
      this.#requests.delete(request);
      answer(reply);
    };
    this.#requests.set(request, connection);
    connection?._send(request);
  }

  _flush(connection: Connection): void {
    for (const [request, writtenTo] of this.#requests) {
      if (writtenTo) continue;
      this.#requests.set(request, connection);
      connection._send(request);
    }
  }

  _refuseAll(): void {
    for (const [request, writtenTo] of this.#requests) if (!writtenTo) this.#refuse(request);
  }

  #refuse(request: Request): void {
    request._answer(refusal("unavailable", "not connected"));
  }
}
