// A WebSocket that comes back by itself, for use in place of a plain one.

import { verdictOf } from "./codes.js";
import { watchPage } from "./page.js";

/** A value, or a function that returns it. The function is called before each connection. */
export type Source<T> = T | (() => T | Promise<T>);

export interface ReconnectingOptions {
  /** Milliseconds before the first return; each further one waits twice as long. Default 1,000. */
  baseDelay?: number;
  /** Milliseconds. Default 30,000. */
  maxDelay?: number;
  /** The part of a delay, up or down, that is random. Default 0.3. */
  jitterFactor?: number;
  /** Returns in a row that may fail. Default 10. */
  maxRetries?: number;
  /** Milliseconds. A connection that ends earlier counts as a return that has failed. Default 10,000. */
  minUptime?: number;
  /** Milliseconds until a connection is open, what functions take included. Default 10,000. */
  connectTimeout?: number;
  /** Used in place of the global `WebSocket`. */
  WebSocket?: unknown;
}

type Handler<E> = ((event: E) => void) | null;

const TYPES = ["open", "message", "error", "close"] as const;

const DEFAULTS = {
  baseDelay: 1_000,
  maxDelay: 30_000,
  jitterFactor: 0.3,
  maxRetries: 10,
  minUptime: 10_000,
  connectTimeout: 10_000,
};

/**
 * Has the events, methods and properties of a WebSocket. After a loss it dispatches `close` with `readyState` back at
 * `CONNECTING`, and then `open` again. When it is over for good, `readyState` is `CLOSED`, and unless that was a normal
 * end, an `error` whose `message` says why comes before the `close`. As with any WebSocket, `send` throws while it is not
 * open: what was not sent is not sent later behind the application's back.
 */
// biome-ignore lint/suspicious/noUnsafeDeclarationMerging: the interface names handlers that the constructor defines.
export class ReconnectingWebSocket extends EventTarget {
  static readonly CONNECTING = 0;
  static readonly OPEN = 1;
  static readonly CLOSING = 2;
  static readonly CLOSED = 3;
  readonly CONNECTING = 0;
  readonly OPEN = 1;
  readonly CLOSING = 2;
  readonly CLOSED = 3;

  onopen: Handler<Event> = null;
  onmessage: Handler<MessageEvent> = null;
  onerror: Handler<Event> = null;
  onclose: Handler<CloseEvent> = null;

  #sources;
  #options;
  #socket: WebSocket | undefined;
  #binaryType: BinaryType = "blob";
  /** Returns in a row that have failed. */
  #retries = 0;
  /** Whether a token was refused, and no connection has lasted since. */
  #wasRefused = false;
  /** Until the next return, or until an attempt has taken too long. */
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Where it is not that of the socket. */
  #state: number | undefined = 0;
  #unwatch: (() => void) | undefined;
  /** Ends what is under way, if it has not ended. */
  #end!: (code: number, reason?: string, wasClean?: boolean) => void;

  constructor(url: Source<string | URL>, protocols: Source<string | string[]> = [], options: ReconnectingOptions = {}) {
    super();
    this.#sources = [url, protocols] as const;
    this.#options = { ...DEFAULTS, ...options };
    for (const type of TYPES) {
      this.addEventListener(type, (event) => (this[`on${type}`] as Handler<Event>)?.(event));
    }
    this.#open(true);
    this.#unwatch = watchPage({
      // A browser keeps the connection of a page that may be shown again, answers pings on it, and drops it then.
      pagehide: ({ persisted }) => {
        if (!persisted) return;
        this.#end(1006, "pagehide");
        this.#socket?.close();
      },
    });
  }

  get readyState(): number {
    return this.#state ?? this.#socket!.readyState;
  }

  get url(): string {
    return this.#socket?.url ?? "";
  }

  get protocol(): string {
    return this.#socket?.protocol ?? "";
  }

  get extensions(): string {
    return this.#socket?.extensions ?? "";
  }

  get bufferedAmount(): number {
    return this.#socket?.bufferedAmount ?? 0;
  }

  get binaryType(): BinaryType {
    return this.#binaryType;
  }

  set binaryType(type: BinaryType) {
    this.#binaryType = type;
    if (this.#socket) this.#socket.binaryType = type;
  }

  send(data: string | ArrayBufferLike | Blob | ArrayBufferView<ArrayBuffer>): void {
    if (this.#state === 0) throw new DOMException("still connecting", "InvalidStateError");
    this.#socket!.send(data as string);
  }

  close(code?: number, reason?: string): void {
    if (this.#state === 0) {
      clearTimeout(this.#timer);
      this.#unwatch?.();
      this.#state = 3;
      return this.#dispatch("close", { code: 1000, reason: "", wasClean: true });
    }
    const end = this.#end;
    const state = this.#state;
    const isOpening = this.readyState === 0;
    // Before the call: what is not open yet may end during it.
    this.#state ??= 2;
    try {
      this.#socket?.close(code, reason);
    } catch (error) {
      this.#state = state;
      throw error;
    }
    // Node 22 never tells that it has closed what was not open.
    if (isOpening) setTimeout(() => end(1006));
  }

  get #isRenewable(): boolean {
    return this.#sources.some((source) => typeof source === "function");
  }

  /** The first one of a plain URL is dialled at once, and throws where the URL is bad, as any WebSocket. */
  #open(isFirst = false): void {
    const { minUptime, connectTimeout, WebSocket: Class = WebSocket } = this.#options;
    let socket: WebSocket | undefined;
    let openedAt = Infinity;
    let isOver = false;
    const isGone = () => isOver || this.#state === 3;

    const end = (code: number, reason = "", wasClean = false): void => {
      if (isGone()) return;
      isOver = true;
      if (Date.now() - openedAt >= minUptime) {
        this.#retries = 0;
        this.#wasRefused = false;
      }
      this.#ended(code, reason, wasClean);
    };

    const fail = (message: string, error?: unknown): void => {
      if (isGone()) return;
      this.#dispatch("error", { message, error });
      end(1006, message);
    };

    const dial = (url: string | URL, protocols: string | string[]): void => {
      if (isGone()) return;
      const opening = new (Class as typeof WebSocket)(url, protocols);
      socket = this.#socket = opening;
      this.#state = undefined;
      opening.binaryType = this.#binaryType;
      opening.onopen = () => {
        if (isOver) return;
        clearTimeout(this.#timer);
        openedAt = Date.now();
        this.#dispatch("open");
      };
      opening.onmessage = ({ data, origin }) => isOver || this.#dispatch("message", { data, origin });
      opening.onerror = () => {
        if (isOver) return;
        this.#dispatch("error");
        // Node 22 never tells that it has closed what was refused.
        setTimeout(() => opening.readyState || end(1006));
      };
      // What has no close frame has the code 0 in Deno.
      opening.onclose = ({ code, reason, wasClean }) => end(code || 1006, reason, wasClean);
    };

    this.#end = end;
    if (isFirst && !this.#isRenewable) dial(...(this.#sources as [string, string]));
    else {
      const asked = this.#sources.map(async (source) => (typeof source === "function" ? source() : source));
      Promise.all(asked as [Promise<string>, Promise<string[]>]).then(
        ([fresh, offered]) => {
          try {
            dial(fresh, offered);
          } catch (error) {
            // By its name only: what it says may have the token in it.
            fail(`WebSocket: ${(error as Error).name}`);
          }
        },
        (error: Error) => {
          // By its name, since a page may hold this package twice.
          if (error?.name !== "UnauthorizedError") return fail("no URL or no protocols", error);
          this.#wasRefused = true;
          end(4401, error.message);
        },
      );
    }
    this.#timer = setTimeout(() => {
      fail("not open in time");
      socket?.close();
    }, connectTimeout);
  }

  #ended(code: number, reason: string, wasClean: boolean): void {
    const { baseDelay, maxDelay, jitterFactor } = this.#options;
    clearTimeout(this.#timer);
    const message = this.#state === 2 ? "" : this.#whyNot(code);
    if (message === undefined) {
      const jitter = 1 + jitterFactor * (2 * Math.random() - 1);
      const delay = Math.min(maxDelay, baseDelay * 2 ** this.#retries++) * jitter;
      this.#timer = setTimeout(() => this.#open(), delay);
    }
    this.#state = message === undefined ? 0 : 3;
    if (this.#state) this.#unwatch?.();
    if (message) this.#dispatch("error", { message });
    this.#dispatch("close", { code, reason, wasClean });
  }

  /** Why there is no return after this code: nothing where there is one, and "" after a normal end. */
  #whyNot(code: number): string | undefined {
    const verdict = verdictOf(code);
    if (verdict === "stop") return code === 1000 || code === 1005 ? "" : `close code ${code} is final`;
    if (verdict === "once") {
      if (this.#wasRefused) return `close code ${code} again, with a new token`;
      if (!this.#isRenewable) return `close code ${code}: without a function there is no new token`;
      this.#wasRefused = true;
    }
    return this.#retries < this.#options.maxRetries ? undefined : `${this.#retries} returns have failed`;
  }

  /** An event can be dispatched only once, and some classes have events of their own: so it is a new one. */
  #dispatch(type: string, fields: object = {}): void {
    const event = type === "message" ? new MessageEvent(type) : new Event(type);
    for (const [name, value] of Object.entries(fields)) Object.defineProperty(event, name, { value });
    this.dispatchEvent(event);
  }
}

export interface ReconnectingWebSocket {
  addEventListener<K extends keyof WebSocketEventMap>(
    type: K,
    listener: (event: WebSocketEventMap[K]) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
}
