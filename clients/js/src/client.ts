// The client: many connections, one after the other, seen as one.

import { Backoff } from "./backoff.js";
import { type Verdict, verdictOf, verdictOfStatus } from "./codes.js";
import { Connection, type Membership, type Request } from "./connection.js";
import { Emitter } from "./emitter.js";
import { DisconnectedError, RefusedError } from "./errors.js";
import type { Answer, Ending, Frame } from "./frames.js";
import { Move, type Mover } from "./move.js";
import { Outbox } from "./outbox.js";
import { type Hints, watchPage } from "./page.js";
import { Room, refused } from "./room.js";
import { Tokens } from "./token.js";

export type ClientState = "disconnected" | "connecting" | "connected";

export interface ClientOptions {
  /** Called when a token is needed. Throw an `UnauthorizedError` to stop; after any other error it is called again. */
  getToken: () => string | Promise<string>;
  /** Milliseconds for an answer, waiting for a connection included. Default 5,000. */
  timeout?: number;
  /** Milliseconds until `welcome`. Default 10,000. */
  connectTimeout?: number;
  /** Milliseconds: the least time before coming back. Default 0, for the gateway spreads its clients. */
  minDelay?: number;
  /** Milliseconds: the longest time before coming back. Default 30,000. */
  maxDelay?: number;
  /** Milliseconds before the end of a token at which the next one is asked for. Default 30,000. */
  refreshMargin?: number;
  /** Requests that may wait for a connection or an answer; more are refused. Default 1,000. */
  outbox?: number;
  /** Messages that may wait for a `for await` loop. Default 1,000. */
  inbox?: number;
  /** Used in place of the global `WebSocket`. */
  WebSocket?: unknown;
}

export interface ClientEvents {
  state: { oldState: ClientState; state: ClientState; code?: number; reason?: string };
  /** A refusal that answers nothing that was asked, or an error of `getToken`. */
  error: Error;
  /** A binary message of a type that is bound to no room here. */
  binary: { type: number; data: Uint8Array<ArrayBuffer> };
  /** The connection was replaced without a gap. In these rooms, which have no history, something may have come twice. */
  moved: { rooms: string[] };
}

const DEFAULTS = {
  timeout: 5_000,
  connectTimeout: 10_000,
  minDelay: 0,
  maxDelay: 30_000,
  refreshMargin: 30_000,
  outbox: 1_000,
  inbox: 1_000,
};
/** Milliseconds after `welcome`: a connection that lived this long was a good one. */
const STEADY = 10_000;
/** Milliseconds. Nothing is asked of the application, or of the gateway, more often. */
const PAUSE = 1_000;
/** Milliseconds: timers count in 32 bits. */
const LONGEST_TIMER = 2 ** 31 - 1;

export class Client extends Emitter<ClientEvents> implements Mover, Hints {
  state: ClientState = "disconnected";
  /** @internal */
  _bindings = new Map<number, Room<any>>();
  /** @internal */
  _options;
  #url;
  #tokens;
  #backoff;
  #outbox;
  #rooms = new Map<string, Room<any>>();
  #current: Connection | undefined;
  #move: Move | undefined;
  /** Counts what was begun and given up: whatever comes back from an older run is not wanted any more. */
  #run = 0;
  #ids = 0;
  #user: string | undefined;
  /** Whether a token was refused, and none has proved good since. */
  #refused = false;
  #ready: { resolve(): void; reject(error: Error): void }[] = [];
  #waiting: ReturnType<typeof setTimeout> | undefined;
  #renewal: ReturnType<typeof setTimeout> | undefined;
  #unwatch = (): void => {};

  constructor(url: string | URL, options: ClientOptions) {
    super();
    this.#url = String(url);
    this._options = { ...DEFAULTS, WebSocket: globalThis.WebSocket, ...options };
    const { getToken, timeout, minDelay, maxDelay, outbox } = this._options;
    this.#tokens = new Tokens(getToken);
    this.#backoff = new Backoff(minDelay, maxDelay);
    this.#outbox = new Outbox(timeout, outbox);
  }

  /** Who we are, once connected. */
  get user(): string | undefined {
    return this.#user;
  }

  /** Names the present connection, uniquely among all pods. */
  get connection(): string | undefined {
    return this.#current?._welcome?.connection;
  }

  /** The room of that name: always the same object. It is not joined by this. */
  room<T = unknown>(name: string): Room<T> {
    const room = this.#rooms.get(name) ?? new Room<T>(this, name);
    this.#rooms.set(name, room);
    return room;
  }

  /** Be connected from now on, until `disconnect()` or until coming back makes no sense. */
  connect(): void {
    if (this.state !== "disconnected") return;
    this.#unwatch = watchPage(this);
    this.#refused = false;
    this.#backoff._reset();
    this.#become("connecting");
    this.#open();
  }

  disconnect(): void {
    this.#stop({ code: 1000, reason: "" });
  }

  /** Resolves when connected; rejects with a `DisconnectedError` when that is not going to happen. */
  ready(): Promise<void> {
    if (this.state === "connected") return Promise.resolve();
    if (this.state === "disconnected") return Promise.reject(new DisconnectedError());
    return new Promise((resolve, reject) => this.#ready.push({ resolve, reject }));
  }

  // Requests

  /** @internal */
  _ask(fields: object, answer: Answer): void {
    this._submit(this.#request(fields, answer));
  }

  /** @internal */
  _submit(request: Request): void {
    const isOpen = this.#current?._welcome && !this.#move?._settling;
    this.#outbox._put(request, isOpen ? this.#current : undefined);
  }

  #request(fields: object, answer: Answer): Request {
    const id = String(++this.#ids);
    return { _id: id, _data: JSON.stringify({ ...fields, id }), _answer: answer };
  }

  // Rooms

  /** @internal */
  _joinRoom(room: Room<any>): void {
    for (const connection of this.#living()) this.#joinOn(connection, room);
  }

  /** @internal */
  async _leaveRoom(room: Room<any>): Promise<void> {
    const leaving = this.#living().map(
      (connection) =>
        new Promise<void>((left) => {
          const membership = connection._rooms.get(room);
          if (!membership) left();
          else if (membership._joined) this.#leaveOn(connection, room, left);
          else membership._onLeft = left;
        }),
    );
    await Promise.all(leaving);
  }

  /** Where rooms are joined: on the present connection, and on the next one as soon as it can be. */
  #living(): Connection[] {
    return [...new Set([this.#current, this.#move?._to])].filter((connection) => connection?._welcome) as Connection[];
  }

  #wanted(): Room<any>[] {
    return [...this.#rooms.values()].filter((room) => room._wanted);
  }

  #leaveOn(connection: Connection, room: Room<any>, left: () => void): void {
    connection._rooms.delete(room);
    connection._send(this.#request({ type: "leave", room: room.name }, left));
  }

  #joinOn(connection: Connection, room: Room<any>): void {
    connection._rooms.get(room)?._onLeft?.();
    const membership: Membership = {};
    connection._rooms.set(room, membership);
    const join = { type: "join", room: room.name, since: room._position };
    const answered = (reply?: Frame) => {
      const { _onLeft } = membership;
      if (connection._rooms.get(room) !== membership) return;
      if (!reply) _onLeft?.();
      else if (reply.type === "error") this.#notJoined(connection, room, refused(reply));
      else if (!room._wanted) this.#leaveOn(connection, room, () => _onLeft?.());
      else this.#joined(connection, room, membership, reply);
    };
    connection._send(this.#request(join, answered));
  }

  #joined(connection: Connection, room: Room<any>, membership: Membership, reply: Frame): void {
    const { epoch, offset, recovered } = reply.payload;
    membership._joined = true;
    membership._live = epoch && { epoch, offset };
    // While two connections have the room, the one that came second says what the application does not know yet.
    const isKnown = room.state === "joined" && (recovered || !epoch || !!this.#move?._isFrom(connection));
    membership._apart = !recovered && connection !== this.#current;
    if (!isKnown) room._enter(reply);
    this.#move?._check();
  }

  #notJoined(connection: Connection, room: Room<any>, { code, message, retryAfter }: RefusedError): void {
    const membership = connection._rooms.get(room)!;
    if (!room._wanted) {
      connection._rooms.delete(room);
      membership._onLeft?.();
    } else if (code === "unavailable" || code === "rate_limited") {
      const isStillMeant = () => connection._rooms.get(room) === membership && room._wanted;
      connection._after(retryAfter ?? PAUSE, () => isStillMeant() && this.#joinOn(connection, room));
    } else {
      connection._rooms.delete(room);
      room._leave(new RefusedError(code, message, retryAfter));
    }
  }

  // What connections tell

  /** @internal */
  _welcomed(connection: Connection): void {
    const { user } = connection._welcome!;
    // Another user's personal room is another room.
    if (user !== this.#user) this.#rooms.get("@me")?._forget();
    this.#user = user;
    for (const room of this.#wanted()) this.#joinOn(connection, room);
    for (const [type, room] of this._bindings) {
      const bind = { type: "bind", room: room.name, payload: { type } };
      const answered = (reply?: Frame) => reply?.type === "error" && this._emit("error", refused(reply));
      connection._send(this.#request(bind, answered));
    }
    if (connection !== this.#current) return this.#move?._check();
    this.#settleIn(connection);
    this.#become("connected");
    for (const { resolve } of this.#ready.splice(0)) resolve();
  }

  /** `connection` is the one that requests go to from now on. */
  #settleIn(connection: Connection): void {
    this.#backoff._spread = connection._welcome!.reconnect_spread_ms;
    connection._after(STEADY, () => {
      this.#backoff._reset();
      this.#refused = false;
    });
    this.#renewIn(this.#tokens._left());
    this.#outbox._flush(connection);
  }

  /** @internal */
  _heard(connection: Connection, frame: Frame | undefined, data: string | ArrayBuffer): void {
    if (frame?.type === "reconnect") {
      connection._notice = frame.payload;
      this.#noticed(connection);
    } else if (!this.#move || this.#move._admits(connection, frame, data)) this._deliver(frame, data);
    this.#move?._check();
  }

  /** @internal */
  _deliver(frame: Frame | undefined, data: string | ArrayBuffer): void {
    if (frame) {
      const room = this.#rooms.get(frame.room!);
      if (frame.type === "error") this._emit("error", refused(frame));
      else if (room?.state === "joined") room._heard(frame);
      return;
    }
    const type = new DataView(data as ArrayBuffer).getUint32(0);
    const message = { type, data: new Uint8Array(data as ArrayBuffer, 4) };
    const room = this._bindings.get(type);
    room ? room._emit("binary", message) : this._emit("binary", message);
  }

  /** @internal */
  _settled(): void {
    this.#move?._check();
  }

  /** @internal */
  _ended(connection: Connection, ending: Ending): void {
    const { _status } = ending;
    const verdict = _status ? verdictOfStatus(_status) : verdictOf(ending.code);
    // A browser does not say why a handshake failed; it may have been the token.
    if (verdict === "once" || (ending._early && !_status)) this.#tokens._distrust();
    const move = this.#move;
    if (connection === this.#current) this.#lost(ending, verdict);
    else if (connection === move?._to) move._failed();
    else move?._finish();
  }

  #lost(ending: Ending, verdict: Verdict): void {
    const move = this.#move;
    if (verdict === "return" && move?._to && move._to !== this.#current) {
      // The next connection is under way already, and becomes the present one as far as it has come.
      if (move._to._welcome) return move._finish(ending);
      const next = move._release();
      this.#down(ending);
      this.#current = next;
      return;
    }
    if (verdict === "stop" || (verdict === "once" && this.#refused)) return this.#stop(ending);
    this.#down(ending);
    if (verdict === "once") this.#refused = true;
    this.#openIn(verdict === "once" ? 0 : (ending._retryAfter ?? 0) + this.#backoff._next());
  }

  // From one state to the next

  #become(state: ClientState, { code, reason }: Partial<Ending> = {}): void {
    const oldState = this.state;
    if (state === oldState) return;
    this.state = state;
    this._emit("state", { oldState, state, code, reason } as ClientEvents["state"]);
  }

  #openIn(ms: number): void {
    this.#waiting = setTimeout(() => this.#open(), ms);
  }

  #open(): void {
    clearTimeout(this.#waiting);
    this.#waiting = undefined;
    const run = this.#run;
    const done = (connection: Connection) => {
      this.#current = connection;
    };
    this._dial(
      () => run === this.#run,
      done,
      () => this.#openIn(this.#backoff._next()),
    );
  }

  /** @internal */
  async _dial(isWanted: () => boolean, done: (connection: Connection) => void, failed: () => void): Promise<void> {
    try {
      const token = await this.#tokens._get();
      if (!isWanted()) return;
      const { connectTimeout, WebSocket } = this._options;
      done(new Connection(this.#url, token, connectTimeout, WebSocket as typeof globalThis.WebSocket, this));
    } catch (error) {
      if (isWanted()) this.#noToken(error as Error, failed);
    }
  }

  #noToken(error: Error, retry: () => void): void {
    // By its name, since a page may hold this package twice. A SyntaxError is an address that is none.
    if (error.name === "UnauthorizedError") return this.#stop({ code: 4401, reason: error.message });
    this._emit("error", error);
    retry();
  }

  /** Nothing is left of what was connected or being connected. */
  #down(ending: Partial<Ending>, state: ClientState = "connecting"): void {
    this.#run++;
    clearTimeout(this.#waiting);
    clearTimeout(this.#renewal);
    this.#waiting = undefined;
    const current = this.#current;
    this.#move?._end();
    this.#current = this.#move = undefined;
    this.#become(state, ending);
    for (const room of this.#wanted()) room._become("joining", ending.code, ending.reason);
    current?._close();
  }

  #stop(ending: Ending): void {
    if (this.state === "disconnected") return;
    this.#unwatch();
    this.#tokens._forget();
    this.#down(ending, "disconnected");
    this.#outbox._refuseAll();
    const stopped = new DisconnectedError(ending.code, ending.reason);
    for (const room of this.#rooms.values()) room._release(stopped);
    for (const { reject } of this.#ready.splice(0)) reject(stopped);
  }

  // The token, while connected

  #renewIn(left: number): void {
    clearTimeout(this.#renewal);
    if (left <= 0 || left === Infinity) return;
    const wait = Math.max(left - this._options.refreshMargin, left / 4, PAUSE);
    this.#renewal = setTimeout(() => this.#renew(), Math.min(wait, LONGEST_TIMER));
  }

  async #renew(): Promise<void> {
    const run = this.#run;
    const end = Date.now() + this.#tokens._left();
    const later = () => this.#renewIn(end - Date.now());
    try {
      const token = await this.#tokens._renew();
      if (run !== this.#run) return;
      const auth = { type: "auth", payload: { token } };
      this.#current!._send(this.#request(auth, (reply) => reply && run === this.#run && this.#renewed(reply, later)));
    } catch (error) {
      if (run === this.#run) this.#noToken(error as Error, later);
    }
  }

  #renewed({ type, payload }: Frame, later: () => void): void {
    if (type !== "error") {
      this.#refused = false;
      this.#renewIn(this.#tokens._left());
    } else if (payload.code === "identity_changed") {
      this.#down({ reason: payload.code });
      this.#open();
    } else {
      if (payload.code === "bad_token") this.#tokens._distrust();
      later();
    }
  }

  // Moving from one connection to the next

  #noticed(connection: Connection): void {
    const notice = connection._notice;
    if (!notice?.within_ms || connection !== this.#current || this.#move?._isBusy) return;
    connection._notice = undefined;
    this.#move?._end();
    this.#move = new Move(this, connection, notice.after_ms, notice.within_ms);
  }

  /** @internal */
  _isApart(room: string, next: Connection | undefined): boolean {
    return !!next?._rooms.get(this.#rooms.get(room)!)?._apart;
  }

  /** @internal */
  _caughtUp(connection: Connection): boolean {
    return this.#wanted().every((room) => {
      const membership = connection._rooms.get(room);
      return membership?._joined && !room._lacks(membership._live);
    });
  }

  /** @internal */
  _cutOver(connection: Connection, ending: Partial<Ending>): void {
    this.#current = connection;
    for (const room of this.#wanted()) {
      if (!connection._rooms.get(room)?._joined) room._become("joining", ending.code, ending.reason);
    }
    this.#settleIn(connection);
  }

  /** @internal */
  _moved(): void {
    const rooms = this.#wanted().filter((room) => room.state === "joined" && !room._position);
    this._emit("moved", { rooms: rooms.map(({ name }) => name) });
    if (this.#current) this.#noticed(this.#current);
  }

  // What the browser knows

  /** @internal */
  _online(): void {
    if (this.#waiting) this.#open();
  }

  /** @internal */
  _doubtful(): void {
    this.#current?._probe();
  }

  /** @internal */
  _suspend(): void {
    this.#down({ code: 1000, reason: "the page was put aside" });
  }

  /** @internal */
  _resume(): void {
    this.#open();
  }
}
