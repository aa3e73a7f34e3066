// A room: wished for once, it comes back after every loss, at the position where it was.

import type { Client } from "./client.js";
import { Emitter } from "./emitter.js";
import { RefusedError, UnknownOutcomeError } from "./errors.js";
import { type Frame, type HistoryPage, type Position, type PresencePage, refusal } from "./frames.js";
import { Inbox } from "./inbox.js";

export type RoomState = "left" | "joining" | "joined";

export interface Message<T> {
  payload: T;
  /** The sender; absent where a backend speaks. */
  from?: string;
  timestamp: string;
  /** With `offset`, in rooms with history: the position. */
  epoch?: string;
  offset?: number;
  traceparent?: string;
}

export interface Joined {
  /** After a loss: whether everything that was missed comes next. Absent at the first join. */
  recovered?: boolean;
  /** With `offset`, in rooms with history: where live starts. */
  epoch?: string;
  offset?: number;
  /** The first page of who is there, where the room shows it. */
  members?: PresencePage;
}

export interface RoomEvents<T> {
  state: { oldState: RoomState; state: RoomState; code?: number | string; reason?: string };
  joined: Joined;
  message: Message<T>;
  binary: { type: number; data: Uint8Array<ArrayBuffer> };
  /** Messages were lost; live goes on. `overflow`: by a loop that reads too slowly. */
  resync: { reason: string; epoch?: string; offset?: number };
  "user-joined": { user: string; info?: Record<string, unknown> };
  "user-left": { user: string; info?: Record<string, unknown> };
}

export interface PublishOptions {
  /** Makes a retry safe, in rooms with history. */
  key?: string;
  /** Whether we hear it ourselves; left out, the room's policy decides. */
  echo?: boolean;
  traceparent?: string;
}

/** Random also where a page is not secure, and `crypto.randomUUID` therefore missing. */
const randomKey = (): string => crypto.getRandomValues(new Uint32Array(4)).join("-");

/** @internal */
export const refused = ({ payload }: Frame): RefusedError =>
  new RefusedError(payload.code, payload.message, payload.retry_after_ms);

/** Obtained from `client.room(name)`. */
export class Room<T = unknown> extends Emitter<RoomEvents<T>> {
  state: RoomState = "left";
  /** @internal */
  _wanted = false;
  /** @internal The last one seen. */
  _position: Position | undefined;
  #client;
  #joined: Joined | undefined;
  #waiting: { resolve(joined: Joined): void; reject(error: Error): void }[] = [];
  #inboxes = new Set<Inbox<Message<T>>>();

  /** @internal */
  constructor(
    client: Client,
    readonly name: string,
  ) {
    super();
    this.#client = client;
  }

  /** Be in the room from now on, through every reconnect, until `leave()`. Resolves when we are in it. */
  join(): Promise<Joined> {
    if (this.state === "joined") return Promise.resolve(this.#joined!);
    if (!this._wanted) {
      this._wanted = true;
      this._become("joining");
      this.#client._joinRoom(this);
    }
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  /** Resolves when the gateway has confirmed it, or when there is nobody left to do so. */
  leave(): Promise<void> {
    if (!this._wanted) return Promise.resolve();
    this._leave();
    return this.#client._leaveRoom(this);
  }

  /** Resolves when the bus has accepted it, in rooms with history to its position. */
  publish(payload: T, options: PublishOptions = {}): Promise<Partial<Position>> {
    const { echo, traceparent, key = this._position && randomKey() } = options;
    const frame = { type: "broadcast", payload: payload ?? null, key, echo, traceparent };
    return this.#ask(frame, () => new UnknownOutcomeError(key));
  }

  presence(page: { after?: string; limit?: number } = {}): Promise<PresencePage> {
    return this.#ask({ type: "presence", ...page });
  }

  /** Behind `since` from the oldest, in front of `before` from the newest, or simply the newest. */
  history(page: { since?: Position; before?: Position; limit?: number } = {}): Promise<HistoryPage<T>> {
    return this.#ask({ type: "history", ...page });
  }

  /** Our binary messages of this type go to this room, and what arrives of it is taken to come from it. */
  async bind(type: number): Promise<void> {
    const bindings = this.#client._bindings;
    const before = bindings.get(type);
    bindings.set(type, this);
    try {
      await this.#ask({ type: "bind", payload: { type } });
    } catch (error) {
      if (bindings.get(type) === this) before ? bindings.set(type, before) : bindings.delete(type);
      throw error;
    }
  }

  /** Resolves when it is written: binary messages are not acknowledged. */
  send(type: number, bytes: Uint8Array): Promise<void> {
    const data = new Uint8Array(4 + bytes.length);
    new DataView(data.buffer).setUint32(0, type);
    data.set(bytes, 4);
    return new Promise((resolve, reject) =>
      this.#client._submit({ _data: data, _answer: (reply) => (reply ? reject(refused(reply)) : resolve()) }),
    );
  }

  /** Messages from now on, until the room is left or the client disconnected. */
  [Symbol.asyncIterator](): AsyncIterableIterator<Message<T>> {
    const inbox: Inbox<Message<T>> = new Inbox(
      this.#client._options.inbox,
      () => this._emit("resync", { reason: "overflow" }),
      () => this.#inboxes.delete(inbox),
    );
    this.#inboxes.add(inbox);
    return inbox;
  }

  #ask<R>(fields: object, unknown?: () => Error): Promise<R> {
    return new Promise((resolve, reject) =>
      this.#client._ask({ room: this.name, ...fields }, (reply = refusal("outcome_unknown", "no answer")) => {
        if (reply.type !== "error") resolve(reply.payload);
        else reject(unknown && reply.payload.code === "outcome_unknown" ? unknown() : refused(reply));
      }),
    );
  }

  /** @internal */
  _become(state: RoomState, code?: number | string, reason?: string): void {
    const oldState = this.state;
    if (state === oldState) return;
    this.state = state;
    this._emit("state", { oldState, state, code, reason } as RoomEvents<T>["state"]);
  }

  /** @internal */
  _enter({ payload }: Frame): void {
    const { epoch, offset, recovered = this.#joined && false } = payload;
    // What was missed comes next, and takes the position up to where live starts.
    if (!recovered) this._position = epoch && { epoch, offset };
    const joined: Joined = { ...payload, ...(this.#joined && { recovered }) };
    this.#joined = joined;
    this._become("joined");
    this._emit("joined", joined);
    for (const { resolve } of this.#waiting.splice(0)) resolve(joined);
  }

  /** @internal Whether there is something to come before `position`. */
  _lacks(position: Position | undefined): boolean {
    return !!position && this._position?.epoch === position.epoch && this._position.offset < position.offset;
  }

  /** @internal */
  _forget(): void {
    this._position = undefined;
  }

  /** @internal Nobody is to wait any longer. */
  _release(why: Error): void {
    for (const { reject } of this.#waiting.splice(0)) reject(why);
    for (const inbox of this.#inboxes) inbox._end();
    this.#inboxes.clear();
  }

  /** @internal By our own wish, or because the gateway does not let us be there. */
  _leave(why?: RefusedError): void {
    this._wanted = false;
    this._position = this.#joined = undefined;
    this._become("left", why?.code, why?.message);
    this._release(why ?? new RefusedError("not_joined", "the room was left"));
  }

  /** @internal */
  _heard({ type, room, id, ...said }: Frame): void {
    const { epoch, offset, payload } = said;
    if (type === "broadcast") {
      if (epoch) {
        if (this.#isOld(epoch, offset!)) return;
        this._position = { epoch, offset: offset! };
      }
      this._emit("message", said as Message<T>);
      for (const inbox of this.#inboxes) inbox._add(said as Message<T>);
    } else if (type === "resync") {
      const { epoch, offset } = payload;
      if (epoch && !this.#isOld(epoch, offset)) this._position = { epoch, offset };
      this._emit("resync", payload);
    } else if (type === "user-joined" || type === "user-left") this._emit(type, payload);
    else if (type === "left") this._leave(new RefusedError(payload?.reason ?? "left", "no longer in the room"));
  }

  #isOld(epoch: string, offset: number): boolean {
    return this._position?.epoch === epoch && offset <= this._position.offset;
  }
}
