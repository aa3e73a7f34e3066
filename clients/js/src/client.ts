// The client: many connections, one after the other, seen as one.

import { Emitter, type StateChange } from "./emitter.js";
import { DisconnectedError, type RefusedError, unknownOutcome } from "./errors.js";
import type { ClientOptions } from "./options.js";
import type { Room } from "./room.js";
import { makeSession } from "./session.js";

export type ClientState = "disconnected" | "connecting" | "connected";

export interface ClientEvents {
  /** The code is a close code, or the HTTP status of a refused handshake where it can be known. */
  state: StateChange<ClientState>;
  /** The connection is lost, or none came about, and the next try is so many milliseconds away. */
  waiting: { delay: number; code?: number; reason?: string };
  /** A refusal that answers nothing that was asked, or an error of `getToken`. */
  error: Error;
  /** A binary message of a type that is bound to no room here. */
  binary: { type: number; data: Uint8Array };
  /** The connection was replaced without a gap. In these rooms, without history, something may have come twice. */
  moved: { rooms: string[] };
}

export interface CallOptions {
  /** Milliseconds for the answer, and for a connection before it. Default that of the client. */
  timeout?: number | undefined;
  /** Ends the wait. What was not written yet never is; what was may be carried out. */
  signal?: AbortSignal | undefined;
}

export class Client extends Emitter<ClientState, ClientEvents> {
  /** Who we are, once connected. */
  declare user: string | undefined;
  /** Names the present connection, uniquely among all pods. */
  declare connection: string | undefined;
  /** Why there is no connection, or none comes about; not set while connected, and after `disconnect()`. */
  declare error: Error | undefined;
  #session;

  /** Throws a `RefusedError` with `bad_url` where the URL cannot be one of a gateway. */
  constructor(url: string | URL, options: ClientOptions) {
    super("disconnected");
    this.#session = makeSession(this, url, options);
  }

  /** The room of that name: always the same object. It is not joined by this. */
  room<T = unknown>(name: string): Room<T> {
    return this.#session._room(name);
  }

  /**
   * Be connected from now on, until `disconnect()` or until coming back makes no sense. Ends a wait for a next try.
   * Throws a `RefusedError` with `no_websocket` where there is no WebSocket class.
   */
  connect(): void {
    this.#session._connect();
  }

  disconnect(): void {
    this.#session._stop();
  }

  /**
   * Ask the application, and resolve with what it answers. Rejects with a `RefusedError`, which has the application's
   * code as its `reason` where it says no; or with an `UnknownOutcomeError` where no answer came. It is sent only once.
   */
  async call<T = unknown>(method: string, payload: unknown = null, options?: CallOptions): Promise<T> {
    return this.#session
      ._ask({ type: "call", method, payload }, options)
      .catch((error: RefusedError) => unknownOutcome(error));
  }

  /** Resolves when connected; rejects with a `DisconnectedError` when that is not going to happen. */
  async ready(): Promise<void> {
    while (this.state === "connecting") await this._next("state");
    if (this.state !== "connected") throw this.error ?? new DisconnectedError("disconnected");
  }
}
