// What travels on the wire, as types.

/** Where a message stands in its room's history. */
export interface Position {
  epoch: string;
  offset: number;
}

/** Who is in a room, page by page. */
export interface PresencePage {
  /** Connections, of the whole room. */
  count: number;
  /** Users, of the whole room. */
  users: number;
  members: { user: string; connections: number; info?: Record<string, unknown> }[];
  /** The `after` of the next page. */
  next?: string;
}

/** A part of a room's past, oldest first. */
export interface HistoryPage<T> {
  epoch: string;
  messages: { offset: number; from?: string; payload: T; timestamp: string }[];
  /** Whether the page ended before the past did. */
  more: boolean;
}

/** @internal A text message, either way. */
export interface Frame {
  type: string;
  id?: string;
  room?: string;
  payload?: any;
  from?: string;
  timestamp?: string;
  traceparent?: string;
  epoch?: string;
  offset?: number;
}

/** @internal How one connection ended. `_early`: before it was open. `_status`: where the WebSocket class shows it. */
export interface Ending {
  code: number;
  reason: string;
  _early?: boolean;
  _status?: number;
  _retryAfter?: number;
}

/** @internal What answers a request: `undefined` when it was written and nothing came. */
export type Answer = (reply: Frame | undefined) => void;

/** @internal A refusal of our own, in the words of the gateway. */
export const refusal = (code: string, message: string): Frame => ({ type: "error", payload: { code, message } });
