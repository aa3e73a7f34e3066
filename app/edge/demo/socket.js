// One WebSocket, one life: opened once, closed once, and silent after it was abandoned.

export class Socket {
  #ws = null;
  #over = false;
  #on;

  /** `on`: `opened()`, `heard(data)`, `closed({ code, reason })`. */
  constructor(url, protocols, on) {
    this.#on = on;
    try {
      this.#ws = new WebSocket(url, protocols);
    } catch (error) {
      // A browser refuses some addresses at once. To everybody else that is a connection that never came about.
      queueMicrotask(() => this.#finish({ code: 1006, reason: String(error.message ?? error) }));
      return;
    }
    this.#ws.binaryType = "arraybuffer";
    this.#ws.onopen = () => this.#over || on.opened();
    this.#ws.onmessage = (event) => this.#over || on.heard(event.data);
    this.#ws.onclose = (event) => this.#finish({ code: event.code, reason: event.reason });
  }

  /** Whether `data` was taken; a socket that is not open takes nothing. */
  send(data) {
    if (this.#over || this.#ws?.readyState !== WebSocket.OPEN) return false;
    this.#ws.send(data);
    return true;
  }

  /** Say goodbye; `closed` follows when the other side has answered. */
  close(code, reason) {
    this.#ws?.close(code, reason);
  }

  /** Go without waiting for an answer, which may never come; nothing more is heard of this socket. */
  abandon(code, reason) {
    this.#over = true;
    this.#ws?.close(code, reason);
  }

  #finish(close) {
    if (this.#over) return;
    this.#over = true;
    this.#on.closed(close);
  }
}
