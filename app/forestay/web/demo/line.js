// Manages the client: its states as the page shows them, and what it waits for.

import { Client, UnauthorizedError } from "./forestay.js";
import { tapped } from "./wire.js";

// A user cuts the connection to watch what happens, so the reconnect takes at least this long.
const PAUSE_MS = 1_000;
// The token's time is over, or the handshake refused it.
const WANT_TOKEN = [401, 4401];

export class Line {
  client = null;
  state = { name: "stopped", close: null };
  #url;
  #on;
  #Socket;
  #attempt = 0;
  #refused = null;

  /** `on`: `state(state)`, `frame(frame)`, `measured(ms)`, `moved()`. */
  constructor(url, on) {
    this.#url = url;
    this.#on = on;
    this.#Socket = tapped({ ...on, dialed: () => this.#dialed() });
  }

  /** Creates a client for `token` and stops the previous client, which had another token. */
  use(token) {
    this.client?.disconnect();
    this.#refused = null;
    this.client = new Client(this.#url, {
      getToken: () => this.#show(token),
      minDelay: PAUSE_MS,
      WebSocket: this.#Socket,
    });
    this.client.on("state", (change) => this.#changed(change));
    this.client.on("waiting", (waiting) => this.#waits(waiting));
    this.client.on("moved", () => this.#on.moved());
    return this.client;
  }

  cut() {
    this.#Socket.cut();
  }

  /** The page has one token. When it has expired, the user must paste another one. */
  #show(token) {
    if (this.#refused !== null) throw new UnauthorizedError(this.#refused);
    return token;
  }

  #dialed() {
    if (this.state.name === "waiting") this.#become({ name: "connecting", attempt: this.#attempt });
  }

  #changed({ state, oldState, code, reason = "" }) {
    if (WANT_TOKEN.includes(code)) this.#refused = reason;
    if (state === "connected") {
      this.#attempt = 0;
      this.#become({ name: "connected" });
    } else if (state === "disconnected") {
      const close = code === undefined ? { code: 1000, reason: "bye", byHand: true } : { code, reason };
      this.#become({ name: "stopped", close, needsToken: WANT_TOKEN.includes(code) });
      this.#refused = null;
    } else if (oldState === "disconnected") this.#become({ name: "connecting", attempt: 0 });
  }

  #waits({ delay, code, reason = "" }) {
    this.#attempt += 1;
    this.#become({
      name: "waiting",
      close: { code, reason },
      opened: this.state.name === "connected",
      wait: delay,
      until: performance.now() + delay,
      attempt: this.#attempt,
    });
  }

  #become(state) {
    this.state = state;
    this.#on.state(state);
  }
}
