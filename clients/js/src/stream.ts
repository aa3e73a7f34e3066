// The way in where WebSockets are blocked: event streams and requests, chosen by what has happened before.

import type { Transport } from "./options.js";
import { addressOfPath } from "./paths.js";
import { openStream, type Socket, type StreamEnding } from "./streaming.js";
import { makeTimer } from "./timer.js";

/** Milliseconds for which a client stays with streams, at least, and at most after it has fallen back again and again. */
const STAY = 300_000;
const LONGEST_STAY = 3_600_000;
/** Milliseconds after which a WebSocket has shown that it is not blocked any more. */
const STEADY = 60_000;
/** Failures in a row that may have another reason: a pod that has just ended, or a gateway that refuses. */
const DOUBTFUL = 2;

/** What `ws` has beyond the standard. */
type Inner = WebSocket & {
  on?(event: string, listener: Listener): void;
  terminate?(): void;
};
type Refused = { statusCode: number; headers: Record<string, string | undefined> };
type Listener = (request: unknown, response: Refused) => void;

/** Whether the gateway would accept a WebSocket: it says yes or no, or somebody else answers. Rejects without an answer. */
const isAccepted = async (url: string, token: string, timeout: number): Promise<boolean | undefined> => {
  const response = await fetch(addressOfPath(url, "ws"), {
    headers: { authorization: `Bearer ${token}` },
    cache: "no-store",
    signal: AbortSignal.timeout(timeout),
  });
  const { code } = await response.json().catch(() => ({}));
  return code ? response.status === 426 : undefined;
};

const tokenOf = (subprotocols: string[]): string =>
  atob(subprotocols[1]!.split(".").pop()!.replace(/-/g, "+").replace(/_/g, "/"));

/**
 * For `transports: ["websocket", stream]`: a WebSocket, or an event stream where WebSockets are blocked. They are when the
 * way to the gateway is open for HTTP, and a WebSocket is refused by a proxy, does not open, or is cut at once.
 */
export const stream: Transport = ({ transports, connectTimeout, WebSocket }) => {
  /** Until when no WebSocket is tried. */
  let until = 0;
  let stay = STAY;
  /** WebSockets in a row that had no welcome. */
  let failures = 0;
  const isWanted = WebSocket && transports?.includes("websocket");

  return function open(url: string, subprotocols: string[]): object {
    const token = tokenOf(subprotocols);
    if (!isWanted || Date.now() < until) return openStream(url, token);
    const inner: Inner = new (WebSocket as new (...given: unknown[]) => Inner)(url, subprotocols);
    const timer = makeTimer();
    let way: Inner | Socket = inner;
    let isDecided = false;
    let isClosed = false;

    /** Take a stream, if this is what it looks like; else `giveUp`. */
    const fail = async (giveUp: () => void, isDoubtful: boolean): Promise<void> => {
      if (isDecided) return;
      isDecided = true;
      timer();
      failures++;
      const isBlocked =
        (!isDoubtful || failures >= DOUBTFUL) &&
        (await isAccepted(url, token, connectTimeout / 4).catch(() => false)) !== false;
      if (isClosed) return;
      if (!isBlocked) return giveUp();
      const next = openStream(url, token);
      way = next;
      next.onclose = () => {
        way = inner;
        giveUp();
      };
      next.onmessage = (welcome) => {
        failures = 0;
        until = Date.now() + stay * (1 + Math.random());
        stay = Math.min(stay * 2, LONGEST_STAY);
        Object.assign(next, { onmessage: shell.onmessage, onclose: shell.onclose });
        shell.onmessage?.(welcome);
      };
    };

    const close = (event: StreamEnding): void => void fail(() => shell.onclose?.(event), true);

    const shell = {
      onmessage: null as Socket["onmessage"],
      onclose: null as Socket["onclose"],
      onerror: null as (() => void) | null,
      get protocol() {
        return way.protocol;
      },
      get readyState() {
        return way.readyState;
      },
      get busy() {
        return (way as Socket).busy;
      },
      send: (data: string) => way.send(data),
      close(code?: number) {
        isClosed = true;
        timer();
        way.close(code);
      },
      terminate: () => (way as Inner).terminate?.(),
    };

    inner.binaryType = "arraybuffer";
    inner.onmessage = (welcome) => {
      if (isDecided) return;
      isDecided = true;
      timer();
      failures = 0;
      const openedAt = Date.now();
      inner.onmessage = shell.onmessage;
      inner.onclose = (event) => {
        if (Date.now() - openedAt > STEADY) stay = STAY;
        shell.onclose?.(event);
      };
      inner.onerror = () => shell.onerror?.();
      shell.onmessage?.(welcome);
    };
    inner.onclose = (event) => {
      // A close code is the gateway's word. Where there was none, Deno says 0.
      if (!event.code || event.code === 1006) close(event);
      else shell.onclose?.(event);
    };
    inner.onerror = () => setTimeout(() => inner.readyState || close({ code: 1006, reason: "" }));
    inner.on?.("unexpected-response", (_, response) => {
      // The gateway's 400 and 426 say that a proxy has removed the headers of the upgrade.
      const isOurs =
        ![400, 426].includes(response.statusCode) && /problem\+json/.test(response.headers["content-type"] ?? "");
      // What only a proxy says about WebSockets is no reason to stop where a stream cannot be had for now.
      fail(() => shell.onclose?.({ code: 1006, reason: "" }), isOurs);
    });
    timer(() => {
      fail(() => shell.onclose?.({ code: 1006, reason: "no welcome" }), false);
      inner.terminate?.();
      inner.close();
    }, connectTimeout / 2);
    return shell;
  };
};
