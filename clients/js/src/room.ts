// A room: wished for once, it comes back after every loss, at the position where it was.

import type { CallOptions } from "./client.js";
import { Emitter, END, type StateChange } from "./emitter.js";
import { pack } from "./encode.js";
import { type RefusedError, refused, unknownOutcome } from "./errors.js";
import type { Frame, HistoryPage, Position, PresencePage } from "./frames.js";

export type RoomState = "left" | "joining" | "joined";

export interface Message<T> {
  payload: T;
  /** The sender; absent where a backend speaks. */
  from?: string;
  /** The name of an event; the payload is then an array of arguments. */
  event?: string;
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
  /** The code is a close code, or an error code where the gateway does not let us be in the room. */
  state: StateChange<RoomState, number | string>;
  joined: Joined;
  message: Message<T>;
  binary: { type: number; data: Uint8Array };
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
  /** Makes it an event, as Socket.IO clients know them: the payload is an array of arguments. */
  event?: string;
  traceparent?: string;
}

/** @internal What the client and its rooms need. */
export interface Session {
  _bindings: Map<number, Room<any>>;
  _inbox: number;
  _room(name: string): Room<any>;
  _connect(): void;
  _stop(): void;
  /** Why nothing will come, if that is final. */
  _failure(): Error | undefined;
  /** For the application: it waits where it has to, but not for ever. */
  _ask(what: object, options?: CallOptions): Promise<any>;
  _join(room: Room<any>): void;
  _leave(room: Room<any>): Promise<unknown>;
}

/** 52 random bits: a key is scoped to its room and its sender, and kept for minutes. */
const randomKey = (): string => String(Math.random());

const placeOf = ({ epoch, offset }: Partial<Position>): Position | undefined =>
  epoch ? { epoch, offset: offset! } : undefined;

/** Obtained from `client.room(name)`. */
export class Room<T = unknown> extends Emitter<RoomState, RoomEvents<T>> {
  /** @internal */
  _wanted = false;
  /** @internal The last one seen. */
  declare _position: Position | undefined;
  declare readonly name: string;
  #session;
  #joined: Joined | undefined;

  /** @internal */
  constructor(session: Session, name: string) {
    super("left");
    this.name = name;
    this.#session = session;
  }

  /** Be in the room from now on, through every reconnect, until `leave()`. Resolves when we are in it. */
  async join(): Promise<Joined> {
    if (this.state === "joined") return this.#joined!;
    const failure = this.#session._failure();
    const joined = failure ? Promise.reject(failure) : this._next("joined");
    if (!this._wanted) {
      this._wanted = true;
      this._become("joining");
      this.#session._join(this);
    }
    return joined;
  }

  /** Resolves when the gateway has confirmed it, or when there is nobody left to do so. */
  async leave(): Promise<void> {
    if (!this._wanted) return;
    this._leave();
    await this.#session._leave(this);
  }

  /** Resolves when the bus has accepted it, in rooms with history to its position. */
  publish(payload: T, options: PublishOptions = {}): Promise<Partial<Position>> {
    const { key = this._position && randomKey() } = options;
    return this.#ask({ type: "broadcast", payload, ...options, key }).catch((error: RefusedError) =>
      unknownOutcome(error, key),
    );
  }

  presence(page?: { after?: string; limit?: number }): Promise<PresencePage> {
    return this.#ask({ type: "presence", ...page });
  }

  /** Behind `since` from the oldest, in front of `before` from the newest, or simply the newest. */
  history(page?: { since?: Position; before?: Position; limit?: number }): Promise<HistoryPage<T>> {
    return this.#ask({ type: "history", ...page });
  }

  /** Our binary messages of this type go to this room, and what arrives of it is taken to come from it. */
  bind(type: number): Promise<void> {
    this.#session._bindings.set(type, this);
    return this.#ask({ type: "bind", payload: { type } }).catch((error) => {
      this.#session._bindings.delete(type);
      throw error;
    });
  }

  /** Resolves when it is written: binary messages are not acknowledged. Of a view or a Blob its bytes are sent. */
  async send(type: number, data: ArrayBufferView | ArrayBufferLike | Blob): Promise<void> {
    return this.#session._ask(pack(type, data));
  }

  /** Messages from now on, until the room is left or the client disconnected. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Message<T>, void> {
    const inbox: Message<T>[] = [];
    const most = this.#session._inbox;
    let isOver = false;
    const end = (): void => {
      isOver = true;
    };
    const stop = [
      this.on(END, end),
      this.on("message", (message) => {
        if (inbox.push(message) <= most) return;
        // Once per flood the older half gives way, and that is said.
        inbox.splice(0, inbox.length / 2);
        this._emit("resync", { reason: "overflow" });
      }),
    ];
    try {
      while (inbox[0] || !isOver) {
        if (inbox[0]) yield inbox.shift()!;
        else await this._next("message").catch(end);
      }
    } finally {
      stop.forEach((off) => off());
    }
  }

  #ask(fields: object): Promise<any> {
    return this.#session._ask({ room: this.name, ...fields });
  }

  /** @internal */
  _enter(payload: Joined): void {
    const joined = this.#joined ? { recovered: false, ...payload } : payload;
    // What was missed comes next, and takes the position up to where live starts.
    if (!joined.recovered) this._position = placeOf(joined);
    this.#joined = joined;
    this._become("joined");
    this._emit("joined", joined);
  }

  /** @internal Whether this position, if it is one, has been passed. */
  _isBehind({ epoch, offset }: Partial<Position>): boolean {
    // biome-ignore lint/suspicious/noNonNullAssertedOptionalChain: without an offset the comparison is false, as meant.
    return this._position?.epoch === epoch && this._position?.offset! >= offset!;
  }

  /** Whether we had not been there before. */
  #advance(to: Partial<Position>): boolean {
    const isNews = !this._isBehind(to);
    if (isNews) this._position = placeOf(to) ?? this._position;
    return isNews;
  }

  /** @internal Of a connection that is in the room. */
  _heard({ type, room, ...said }: Frame): void {
    const { payload } = said;
    if (type === "broadcast") {
      if (this.#advance(said)) this._emit("message", said as Message<T>);
    } else if (type === "left") this._leave(refused(payload.reason));
    else {
      if (type === "resync") this.#advance(payload);
      this._emit(type as "resync", payload);
    }
  }

  /** @internal By our own wish, or because the gateway does not let us be there. */
  _leave(why?: RefusedError): void {
    this._wanted = false;
    this._position = this.#joined = undefined;
    this._become("left", why && { code: why.code, reason: why.message });
    this._emit(END, why ?? refused("not_joined", "left"));
  }
}
