// A WebSocket that comes back by itself, for use in place of a plain one.

import { verdictOf } from "./codes.js";

export interface ReconnectingOptions {
  /** Milliseconds before the first return; each further one waits twice as long. Default 1,000. */
  baseDelay?: number;
  /** Milliseconds. Default 30,000. */
  maxDelay?: number;
  /** The part of a delay, up or down, that is random. Default 0.3. */
  jitterFactor?: number;
  /** Returns in a row that may fail. Default 10. */
  maxRetries?: number;
  /** Used in place of the global `WebSocket`. */
  WebSocket?: unknown;
}

type Handler<E> = ((event: E) => void) | null;

const TYPES = ["open", "message", "error", "close"] as const;

/**
 * Has the events, methods and properties of a WebSocket. After a loss it dispatches `close` with `readyState` back at
 * `CONNECTING`, and then `open` again; when it is over for good, `readyState` is `CLOSED`. As with any WebSocket,
 * `send` throws while it is not open: what was not sent is not sent later behind the application's back.
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

  #connect;
  #delay;
  #socket!: WebSocket;
  #binaryType: BinaryType = "blob";
  #retries = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #state: number | undefined;

  constructor(url: string | URL, protocols: string | string[] = [], options: ReconnectingOptions = {}) {
    super();
    const { baseDelay = 1_000, maxDelay = 30_000, jitterFactor = 0.3, maxRetries = 10 } = options;
    const Class = (options.WebSocket ?? WebSocket) as typeof WebSocket;
    this.#connect = () => new Class(url, protocols);
    this.#delay = (retry: number) => {
      const jitter = 1 + jitterFactor * (2 * Math.random() - 1);
      return retry < maxRetries ? Math.min(maxDelay, baseDelay * 2 ** retry) * jitter : undefined;
    };
    for (const type of TYPES) {
      this.addEventListener(type, (event) => (this[`on${type}`] as Handler<Event>)?.(event));
    }
    this.#open();
  }

  get readyState(): number {
    return this.#state ?? this.#socket.readyState;
  }

  get url(): string {
    return this.#socket.url;
  }

  get protocol(): string {
    return this.#socket.protocol;
  }

  get extensions(): string {
    return this.#socket.extensions;
  }

  get bufferedAmount(): number {
    return this.#socket.bufferedAmount;
  }

  get binaryType(): BinaryType {
    return this.#binaryType;
  }

  set binaryType(type: BinaryType) {
    this.#socket.binaryType = this.#binaryType = type;
  }

  send(data: string | ArrayBufferLike | Blob | ArrayBufferView<ArrayBuffer>): void {
    if (this.#state === 0) throw new DOMException("still connecting", "InvalidStateError");
    this.#socket.send(data as string);
  }

  close(code?: number, reason?: string): void {
    if (this.#state === 0) {
      clearTimeout(this.#timer);
      this.#state = 3;
      return this.#dispatch("close", { code: 1000, reason: "", wasClean: true });
    }
    const state = this.#state;
    // Before the call: what is not open yet may end during it.
    this.#state ??= 2;
    try {
      this.#socket.close(code, reason);
    } catch (error) {
      this.#state = state;
      throw error;
    }
  }

  #open(): void {
    const socket = (this.#socket = this.#connect());
    this.#state = undefined;
    socket.binaryType = this.#binaryType;
    socket.onopen = () => {
      this.#retries = 0;
      this.#dispatch("open");
    };
    socket.onmessage = ({ data, origin }) => this.#dispatch("message", { data, origin });
    socket.onerror = () => this.#dispatch("error");
    socket.onclose = ({ code, reason, wasClean }) => {
      const comesBack = this.#state === undefined && verdictOf(code) === "return";
      const delay = comesBack ? this.#delay(this.#retries++) : undefined;
      this.#state = delay === undefined ? 3 : 0;
      if (delay !== undefined) this.#timer = setTimeout(() => this.#open(), delay);
      this.#dispatch("close", { code, reason, wasClean });
    };
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
