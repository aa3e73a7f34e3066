// A WebSocket class that reports each frame of the client's sockets.

import { read } from "./frames.js";

// Requests whose replies are timed. The list is bounded, because some are never answered.
const MOST_ASKED = 100;

/**
 * `on`: `dialed(url)`, `frame(frame)`, `measured(ms)`: how long an answer took. The class has `cut()`, which drops its
 * open sockets without waiting for anything, as if the cable had been pulled.
 */
export function tapped(on) {
  const open = new Set();
  const log = (direction, frame) => on.frame({ direction, at: new Date(), ...frame });

  return class Tapped extends WebSocket {
    #asked = new Map();
    #isOver = false;

    static cut() {
      for (const socket of [...open]) socket.#cut();
    }

    constructor(url, protocols) {
      super(url, protocols);
      open.add(this);
      this.addEventListener("open", () => log("in", { opened: url }));
      this.addEventListener("message", ({ data }) => this.#hear(data));
      this.addEventListener("close", ({ code, reason }) => this.#end({ code, reason }));
      on.dialed(url);
    }

    send(data) {
      super.send(data);
      const frame = read(data);
      log("out", frame);
      if (frame.json?.id === undefined) return;
      this.#asked.set(frame.json.id, performance.now());
      if (this.#asked.size > MOST_ASKED) this.#asked.delete(this.#asked.keys().next().value);
    }

    #hear(data) {
      if (this.#isOver) return;
      const frame = read(data);
      log("in", frame);
      const asked = this.#asked.get(frame.json?.id);
      if (asked === undefined) return;
      this.#asked.delete(frame.json.id);
      on.measured(performance.now() - asked);
    }

    #end(close) {
      if (this.#isOver) return;
      this.#isOver = true;
      open.delete(this);
      log("in", { close });
    }

    #cut() {
      this.dispatchEvent(new CloseEvent("close", { code: 1006, reason: "cut by hand" }));
      this.close();
    }
  };
}
