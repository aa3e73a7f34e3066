// Requests over HTTP, for what a WebSocket would carry as messages. Those of one room keep their order.

import type { Frame } from "./frames.js";
import { addressOfPath } from "./paths.js";

/** Requests at a time, beside which a browser has room for streams. */
const MOST = 4;

/** @internal */
export interface Posts {
  readonly _isFull: boolean;
  _send(frame: Frame): void;
  _stop(): void;
}

/** What the requests need of the socket that they are made for. */
interface Sender {
  _token(): string;
  /** The id of the connection whose messages are not to be heard on it. */
  _connection(): string | undefined;
  /** Whether two streams are open. The gateway can leave out only one of them. */
  _areTwo(): boolean;
  _answer(frame: object): void;
}

/** Milliseconds: how often, and how many times, it is looked whether there is one stream again. */
const LOOK = 20;
const LOOKS = 50;

/** @internal */
export const makePosts = (url: string, sender: Sender): Posts => {
  const abort = new AbortController();
  /** The last request of each room. */
  const last = new Map<string, Promise<void>>();
  let count = 0;

  const requestOf = ({ type, id, room, payload, ...said }: Record<string, any>): [URL, RequestInit] => {
    const { traceparent, tracestate, since, before, ...fields } = said;
    const headers: Record<string, string> = { authorization: `Bearer ${sender._token()}` };
    const isPublish = type === "broadcast";
    const isCall = type === "call";
    const path = `rooms/${encodeURIComponent(room)}/${isPublish ? "messages" : type}`;
    const address = addressOfPath(url, isCall ? "calls" : path);
    const request = { headers, cache: "no-store", signal: abort.signal } as const;
    if (isPublish || isCall) {
      headers["content-type"] = "application/json";
      if (traceparent) Object.assign(headers, { traceparent, ...(tracestate && { tracestate }) });
      const body = { ...fields, payload, connection: sender._connection() };
      return [address, { ...request, method: "POST", body: JSON.stringify(body) }];
    }
    const { epoch } = since ?? before ?? {};
    for (const [name, value] of Object.entries({ ...fields, epoch, since: since?.offset, before: before?.offset })) {
      if (value !== undefined) address.searchParams.set(name, value);
    }
    return [address, request];
  };

  const ask = async (frame: Frame): Promise<void> => {
    const { type, id, room } = frame;
    const isPublish = type === "broadcast";
    const isCall = type === "call";
    // Of a publish or a call without an answer nobody knows what became of it.
    let code = isPublish || isCall ? "outcome_unknown" : "unavailable";
    let message = "no answer";
    let reason: string | undefined;
    let wait: number | undefined;
    try {
      const response = await fetch(...requestOf(frame));
      const said = await response.json().catch(() => undefined);
      if (response.ok && said) {
        if (isCall) return sender._answer({ ...said, type: "result", id });
        return sender._answer({ type: isPublish ? "ack" : type, room, id, payload: said });
      }
      // What a proxy refuses has not reached the gateway; what it could not bring may have.
      code = said?.code ?? (response.status < 500 && !response.ok ? "unavailable" : code);
      message = said?.detail ?? `HTTP ${response.status}`;
      reason = said?.reason;
      wait = said?.retry_after_ms ?? (Number(response.headers.get("retry-after")) * 1_000 || undefined);
    } catch {}
    sender._answer({ type: "error", room, id, payload: { code, message, reason, retry_after_ms: wait } });
  };

  return {
    get _isFull() {
      return count >= MOST;
    },
    _send(frame) {
      // Calls have no room, and no order.
      const room = frame.room ?? frame.id!;
      count++;
      const done = (last.get(room) ?? Promise.resolve()).then(async () => {
        for (let looks = LOOKS; looks-- && (frame as { echo?: boolean }).echo === false && sender._areTwo(); ) {
          await new Promise((wake) => setTimeout(wake, LOOK));
        }
        if (!abort.signal.aborted) await ask(frame);
        count--;
        if (last.get(room) === done) last.delete(room);
      });
      last.set(room, done);
    },
    _stop: () => abort.abort(),
  };
};
