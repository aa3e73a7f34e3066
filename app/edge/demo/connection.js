// The connection: many sockets, one after the other, seen as one. It returns by itself, and knows no page and no room.

import { Backoff } from "./backoff.js";
import { CUT, NEW_TOKEN, RETURN, judge } from "./closes.js";
import { Duplicates } from "./duplicates.js";
import { read, write } from "./frames.js";
import { Heartbeat } from "./heartbeat.js";
import { Socket } from "./socket.js";

// How long the old socket stays open beside its successor: long enough for the rooms to be joined over there.
const OVERLAP_MS = 1_000;
// A connection that lived this long was a good one: the next failure starts counting anew.
const STEADY_MS = 5_000;
// A cut is made to be watched, so the return takes at least this long.
const CUT_PAUSE_MS = 1_000;

export class Connection {
  #dial;
  #on;
  #backoff;
  #heartbeat;
  #current = null;
  #next = null;
  #retiring = null;
  #duplicates = null;
  #spread;
  #connectedAt = 0;
  #timers = { wait: 0, slot: 0, overlap: 0 };

  /**
   * `dial()` gives the URL and the subprotocols of the next socket. `on`: `state(state)`, `frame(frame)`,
   * `measured(ms)`, `welcomed(payload, moved)`, `announced(payload)`, `sentence(sentence)`, `binary(frame)`.
   */
  constructor({ dial, on, random = Math.random }) {
    this.#dial = dial;
    this.#on = on;
    this.#backoff = new Backoff(random);
    this.#heartbeat = new Heartbeat({
      ask: (id) => this.say({ type: "ping", id }),
      measured: (ms) => on.measured(ms),
      lost: () => this.cut("no answer to a ping"),
    });
    this.state = { name: "stopped", close: null };
  }

  start() {
    if (this.state.name === "connecting" || this.state.name === "connected") return;
    clearTimeout(this.#timers.wait);
    this.#become({ name: "connecting", attempt: this.#backoff.attempt });
    this.#current = this.#open();
  }

  /** Leave for good, with a goodbye. */
  stop() {
    for (const socket of [this.#current, this.#next, this.#retiring]) socket?.close(1000, "bye");
    this.#end({ code: 1000, reason: "bye", byHand: true }, false);
  }

  /** Drop the connection without waiting for anything, as if the cable had been pulled; it returns by itself. */
  cut(reason, byHand = false) {
    for (const socket of [this.#current, this.#next, this.#retiring]) socket?.abandon(CUT, reason);
    const close = { code: CUT, reason, byHand };
    this.#log("out", { close });
    this.#end(close, true);
  }

  say(sentence) {
    return this.#send(write(sentence));
  }

  sayBinary(frame) {
    return this.#send(frame);
  }

  #send(data) {
    if (!this.#current?.send(data)) return false;
    this.#log("out", read(data));
    return true;
  }

  #open() {
    const { url, protocols } = this.#dial();
    const socket = new Socket(url, protocols, {
      opened: () => this.#log("in", { opened: url }),
      heard: (data) => this.#hear(socket, data),
      closed: (close) => this.#closed(socket, close),
    });
    return socket;
  }

  #hear(socket, data) {
    const frame = read(data);
    this.#log("in", frame);
    const { sentence } = frame;
    if (sentence === null) return;
    if (sentence?.type === "welcome") this.#welcomed(socket, sentence.payload ?? {});
    else if (sentence?.type === "pong") this.#heartbeat.answered(sentence.id);
    else if (sentence?.type === "reconnect") this.#announced(socket, sentence.payload ?? {});
    else if (this.#isNew(socket, frame)) this.#tell(frame);
  }

  #tell(frame) {
    if (frame.sentence) this.#on.sentence(frame.sentence);
    else this.#on.binary(frame);
  }

  #isNew(socket, frame) {
    if (this.#duplicates === null) return true;
    const repeated = frame.sentence === undefined || frame.sentence.type === "broadcast";
    return !repeated || this.#duplicates.isNew(socket, frame.text ?? new TextDecoder("latin1").decode(frame.bytes));
  }

  #welcomed(socket, payload) {
    if (socket === this.#next) {
      this.#retiring = this.#current;
      this.#next = null;
      this.#current = socket;
      this.#duplicates = new Duplicates();
      this.#timers.overlap = setTimeout(() => this.#retire(), OVERLAP_MS);
    }
    this.#spread = payload.reconnect_spread_ms;
    this.#connectedAt = performance.now();
    const moved = this.state.name === "connected";
    this.#become({ name: "connected", welcome: payload, moved });
    this.#heartbeat.start();
    this.#on.welcomed(payload, moved);
  }

  /** A close is coming: in our slot we open the next socket, and only then does the old one go. */
  #announced(socket, payload) {
    if (socket !== this.#current) return;
    this.#on.announced(payload);
    clearTimeout(this.#timers.slot);
    this.#timers.slot = setTimeout(() => {
      if (this.#current === socket && this.#next === null) this.#next = this.#open();
    }, payload.after_ms ?? 0);
  }

  #retire() {
    this.#retiring?.close(1000, "moved");
    this.#retiring = null;
    this.#duplicates = null;
  }

  #closed(socket, close) {
    this.#log("in", { close });
    if (socket === this.#next) this.#next = null;
    if (socket === this.#retiring) this.#retiring = null;
    if (socket !== this.#current) return;
    if (this.#next !== null) {
      // The old one went before its successor was welcomed: what is under way simply becomes the connection.
      this.#current = this.#next;
      this.#next = null;
      this.#heartbeat.stop();
      this.#become({ name: "connecting", attempt: 0, close });
      return;
    }
    this.#end(close, true);
  }

  /** No socket is left; the close code says what comes next. */
  #end(close, mayReturn) {
    const lasted = this.state.name === "connected" ? performance.now() - this.#connectedAt : 0;
    const opened = this.state.name === "connected";
    this.#current = this.#next = this.#retiring = this.#duplicates = null;
    this.#heartbeat.stop();
    Object.values(this.#timers).forEach(clearTimeout);
    const { verdict } = judge(close.code);
    if (lasted > STEADY_MS || !mayReturn) this.#backoff.reset();
    if (!mayReturn || verdict !== RETURN) {
      this.#become({ name: "stopped", close, needsToken: mayReturn && verdict === NEW_TOKEN });
      return;
    }
    const wait = this.#backoff.next(this.#spread, close.code === CUT ? CUT_PAUSE_MS : 0);
    this.#become({
      name: "waiting",
      close,
      opened,
      wait,
      until: performance.now() + wait,
      attempt: this.#backoff.attempt,
    });
    this.#timers.wait = setTimeout(() => this.start(), wait);
  }

  #become(state) {
    this.state = state;
    this.#on.state(state);
  }

  #log(direction, frame) {
    this.#on.frame({ direction, at: new Date(), ...frame });
  }
}
