// The client: many connections, one after the other, seen as one.

import { verdictOf } from "./codes.js";
import { Connection, type Ending } from "./connection.js";
import { Emitter, END, type StateChange } from "./emitter.js";
import { DisconnectedError } from "./errors.js";
import type { Frame } from "./frames.js";
import { Move } from "./move.js";
import { watchPage } from "./page.js";
import { type Answer, Requests, refused } from "./requests.js";
import { type Joined, Room } from "./room.js";
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
  /** The code is a close code, or the HTTP status of a refused handshake where the WebSocket class shows it. */
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
/** Milliseconds. The window to come back in grows from here, where the gateway announces less. */
const LEAST_WINDOW = 500;
/** Milliseconds: timers count in 32 bits. */
const LONGEST_TIMER = 2 ** 31 - 1;

const isJoined = <T>(membership: T | symbol | undefined): membership is T => typeof membership === "object";

type Timer = ReturnType<typeof setTimeout> | undefined;

export class Client extends Emitter<ClientState, ClientEvents> {
  /** Who we are, once connected. */
  user: string | undefined;
  /** Names the present connection, uniquely among all pods. */
  connection: string | undefined;
  /** @internal */
  _bindings = new Map<number, Room<any>>();
  /** @internal */
  _options;
  #url;
  #tokens;
  #requests;
  #rooms = new Map<string, Room<any>>();
  #current: Connection | undefined;
  #move: Move | undefined;
  /** Counts what was begun and given up: whatever comes back from an older run is not wanted any more. */
  #run = 0;
  /** Returns that came to nothing. */
  #failures = 0;
  /** Milliseconds: the first window to come back in; `welcome` says how long it is. */
  #spread = 2_000;
  /** Whether a token was refused, and none has proved good since. */
  #refused = false;
  #waiting: Timer;
  #renewal: Timer;
  #welcomedAt = Infinity;
  #unwatch = (): void => {};

  constructor(url: string | URL, options: ClientOptions) {
    super("disconnected");
    this.#url = String(url);
    this._options = { ...DEFAULTS, WebSocket: globalThis.WebSocket, ...options };
    this.#tokens = new Tokens(options.getToken);
    this.#requests = new Requests(this._options);
  }

  /** The room of that name: always the same object. It is not joined by this. */
  room<T = unknown>(name: string): Room<T> {
    const room = this.#rooms.get(name) ?? new Room<T>(this, name);
    this.#rooms.set(name, room);
    return room;
  }

  /** Be connected from now on, until `disconnect()` or until coming back makes no sense. Ends a wait for a next try. */
  connect(): void {
    if (this.#waiting) this.#open();
    if (this.state !== "disconnected") return;
    this.#unwatch = watchPage(this);
    this.#refused = false;
    this.#failures = 0;
    this._become("connecting");
    this.#open();
  }

  disconnect(): void {
    this.#stop({});
  }

  /** Resolves when connected; rejects with a `DisconnectedError` when that is not going to happen. */
  async ready(): Promise<void> {
    while (this.state === "connecting") await this._next("state");
    if (this.state !== "connected") throw new DisconnectedError();
  }

  // What is asked

  /** @internal For the application: it waits where it has to, but not for ever. */
  _ask(what: object): Promise<any> {
    return new Promise((resolve, reject) => {
      const answer: Answer = (error, payload) => (error ? reject(error) : resolve(payload));
      this.#requests._ask(what, answer, this.#current?._welcome && this.#current);
    });
  }

  /** Where rooms are joined: on the present connection, and on the next one as soon as it can be. */
  #living(): Connection[] {
    return [...new Set([this.#current, this.#move?._to])].filter((connection) => connection?._welcome) as Connection[];
  }

  #wanted(): Room<any>[] {
    return [...this.#rooms.values()].filter((room) => room._wanted);
  }

  /** @internal */
  _join(room: Room<any>): void {
    for (const connection of this.#living()) this.#joinOn(connection, room);
  }

  /** @internal */
  async _leave(room: Room<any>): Promise<void> {
    await Promise.all(this.#living().map((connection) => this.#leaveOn(connection, room)));
  }

  #leaveOn(connection: Connection, room: Room<any>): Promise<unknown> {
    connection._rooms.delete(room);
    return new Promise((left) => this.#requests._ask({ type: "leave", room: room.name }, left, connection, true));
  }

  #joinOn(connection: Connection, room: Room<any>): void {
    const request = Symbol();
    connection._rooms.set(room, request);
    const isMeant = () => connection._rooms.get(room) === request;
    const answer: Answer = (error, payload) => {
      if (!isMeant()) {
        // Left before it was joined, when there was nothing to leave yet.
        if (!error && !room._wanted) this.#leaveOn(connection, room);
      } else if (!error) this.#joined(connection, room, payload);
      else if (/^(unavail|rate)/.test(error.code)) {
        setTimeout(() => isMeant() && this.#joinOn(connection, room), error.retryAfter ?? PAUSE);
      } else if (error.code !== "outcome_unknown") room._leave(error);
    };
    this.#requests._ask({ type: "join", room: room.name, since: room._position }, answer, connection, true);
  }

  #joined(connection: Connection, room: Room<any>, payload: Joined): void {
    connection._rooms.set(room, payload);
    // While two connections have the room, only what the application does not know yet is said.
    const isPresent = connection === this.#current;
    if (room.state !== "joined" || (!isPresent && !payload.recovered && payload.epoch)) {
      // Of another epoch, or with a gap: from now on the old connection has no say.
      if (!isPresent) this.#current?._rooms.delete(room);
      room._enter(payload);
    }
    this.#move?._check();
  }

  // What connections tell

  /** @internal */
  _welcomed(connection: Connection): void {
    const { user } = connection._welcome!;
    // Another user's personal room is another room.
    if (user !== this.user) this.room("@me")._position = undefined;
    this.user = user;
    for (const [type, { name }] of this._bindings) {
      this.#requests._ask({ type: "bind", room: name, payload: { type } }, () => {}, connection, true);
    }
    for (const room of this.#wanted()) this.#joinOn(connection, room);
    if (connection !== this.#current) return this.#move?._check();
    this.#settleIn(connection);
    this._become("connected");
  }

  /** `connection` is the one that requests go to from now on. */
  #settleIn(connection: Connection): void {
    const welcome = connection._welcome!;
    this.connection = welcome.connection;
    this.#spread = welcome.reconnect_spread_ms;
    this.#welcomedAt = Date.now();
    this.#planRenewal();
    this.#requests._flush(connection);
  }

  /** @internal */
  _heard(connection: Connection, frame: Frame | undefined, data: string | ArrayBuffer): void {
    if (frame?.type === "reconnect") this.#announced(connection, frame.payload);
    else if (!this.#requests._settle(frame?.id, frame)) {
      // A message that has a position is judged by it.
      const isPlain = !frame || (!frame.epoch && /^(b|user)/.test(frame.type));
      if (!isPlain || !this.#move || this.#move._isNews(connection, data)) this.#tell(connection, frame, data);
    }
    this.#move?._check();
  }

  #tell(connection: Connection, frame: Frame | undefined, data: string | ArrayBuffer): void {
    if (!frame) {
      const type = new DataView(data as ArrayBuffer).getUint32(0);
      const message = { type, data: new Uint8Array(data as ArrayBuffer, 4) };
      const room = this._bindings.get(type);
      room?._wanted ? room._emit("binary", message) : this._emit("binary", message);
    } else if (frame.type === "error") this._emit("error", refused(frame));
    else {
      const room = this.#rooms.get(frame.room!);
      if (room?._wanted && isJoined(connection._rooms.get(room))) room._heard(frame);
    }
  }

  #announced(connection: Connection, { after_ms, within_ms }: { after_ms: number; within_ms: number }): void {
    // With nothing to do beforehand, it is a loss like any other.
    if (!within_ms || connection !== this.#current) return;
    this.#move?._end();
    this.#move = new Move(this, connection, after_ms);
  }

  /** @internal */
  _ended(connection: Connection, ending?: Ending): void {
    if (ending) this.#lost(connection, ending);
    this.#requests._giveUp(connection);
  }

  #lost(connection: Connection, ending: Ending): void {
    const move = this.#move;
    const next = move?._to;
    const verdict = verdictOf(ending.code!);
    const isOnce = verdict === "once";
    if (isOnce || ending._early) this.#tokens._token = undefined;
    if (connection !== this.#current) return connection === next ? move!._failed() : move?._finish();
    // Where the next connection is there already, it becomes the present one as far as it has come.
    if (verdict === "return" && next?._welcome && next !== connection) return move!._finish(ending);
    if (Date.now() - this.#welcomedAt > STEADY) {
      this.#failures = 0;
      this.#refused = false;
    }
    if (verdict === "stop" || (isOnce && this.#refused)) return this.#stop(ending);
    this.#refused ||= isOnce;
    this.#down(ending);
    isOnce ? this.#open() : this.#retry(ending);
  }

  // From one state to the next

  /** Come back after a random time within a window that grows, so that no two clients return in step. */
  #retry({ code, reason, _retryAfter }: Ending = {}): void {
    const { minDelay, maxDelay } = this._options;
    const grown = Math.max(this.#spread, LEAST_WINDOW) * 2 ** this.#failures;
    const window = Math.min(maxDelay, this.#failures++ ? grown : this.#spread);
    const delay = Math.max(minDelay, (_retryAfter || 0) + Math.random() * window);
    this.#waiting = setTimeout(() => this.#open(), delay);
    this._emit("waiting", { delay, code, reason } as ClientEvents["waiting"]);
  }

  #open(): void {
    clearTimeout(this.#waiting);
    this.#waiting = undefined;
    const done = (connection: Connection) => {
      this.#current = connection;
    };
    this._dial(done, () => this.#retry());
  }

  /** @internal */
  _dial(done: (connection: Connection) => void, failed: () => void): void {
    const { connectTimeout, WebSocket } = this._options;
    const dial = (token: string) => {
      this.#tokens._token = token;
      done(new Connection(this.#url, token, connectTimeout, WebSocket as typeof globalThis.WebSocket, this));
    };
    this.#withToken(this.#tokens._get(), dial, failed);
  }

  /** Nothing happens where all this is no longer wanted by the time that the token arrives. */
  async #withToken(asked: Promise<string>, use: (token: string) => void, failed: () => void): Promise<void> {
    const run = this.#run;
    try {
      const token = await asked;
      if (run === this.#run) use(token);
    } catch (error) {
      const { name, message } = error as Error;
      if (run !== this.#run) return;
      // By its name, since a page may hold this package twice.
      if (name === "UnauthorizedError") return this.#stop({ code: 4401, reason: message });
      this._emit("error", error as Error);
      failed();
    }
  }

  /** Nothing is left of what was connected or being connected. */
  #down(ending: Ending, state: ClientState = "connecting"): void {
    this.#run++;
    [this.#waiting, this.#renewal].forEach(clearTimeout);
    this.#welcomedAt = Infinity;
    const current = this.#current;
    this.#move?._end();
    this.#current = this.#move = this.#waiting = this.connection = undefined;
    this._become(state, ending.code, ending.reason);
    for (const room of this.#wanted()) room._become("joining", ending.code, ending.reason);
    current?._close();
  }

  #stop(ending: Ending): void {
    if (this.state === "disconnected") return;
    const stopped = new DisconnectedError(ending.code, ending.reason);
    this._emit(END, stopped);
    for (const room of this.#rooms.values()) room._emit(END, stopped);
    this.#unwatch();
    this.#tokens._forget();
    this.#down(ending, "disconnected");
    this.#requests._giveUp();
  }

  // The token, while connected

  #planRenewal(): void {
    const left = this.#tokens._left();
    clearTimeout(this.#renewal);
    if (left <= 0 || left === Infinity) return;
    const wait = Math.max(left - this._options.refreshMargin, left / 4, PAUSE);
    this.#renewal = setTimeout(() => this.#renew(), Math.min(wait, LONGEST_TIMER));
  }

  #renew(): void {
    const run = this.#run;
    const show = (token: string) => {
      const answer: Answer = (error) => {
        const isOther = error?.code === "identity_changed";
        if (run !== this.#run) return;
        // A token that was not taken is asked for again later, for as long as the old one lasts.
        if (!error || isOther) this.#tokens._token = token;
        if (!error) this.#refused = false;
        if (!isOther) return this.#planRenewal();
        this.#down({ reason: error.code });
        this.#open();
      };
      this.#requests._ask({ type: "auth", payload: { token } }, answer, this.#current, true);
    };
    this.#withToken(this.#tokens._ask(), show, () => this.#planRenewal());
  }

  // Moving from one connection to the next

  /** @internal */
  _isLive(connection: Connection): boolean {
    return this.#wanted().every((room) => {
      const joined = connection._rooms.get(room);
      return isJoined(joined) && (!joined.epoch || room._isBehind(joined));
    });
  }

  /** @internal */
  _isWaitingFor(connection: Connection): boolean {
    return this.#requests._isWaitingFor(connection);
  }

  /** @internal */
  _cutOver(connection: Connection, ending: Ending = {}): void {
    this.#current = connection;
    for (const room of this.#wanted()) {
      if (!isJoined(connection._rooms.get(room))) room._become("joining", ending.code, ending.reason);
    }
    this.#settleIn(connection);
  }

  /** @internal */
  _moved(): void {
    const repeated = this.#wanted().filter((room) => !room._position);
    this._emit("moved", { rooms: repeated.map(({ name }) => name) });
  }

  // What the browser knows

  /** @internal */
  _online(): void {
    this.connect();
    this._doubtful();
  }

  /** @internal */
  _doubtful(): void {
    this.#current?._probe();
  }

  /** @internal */
  _suspend(): void {
    this.#down({ reason: "pagehide" });
  }

  /** @internal */
  _resume(): void {
    this.#open();
  }
}
