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
  /** Users may be missing or too many, because Redis refuses changes or did so a moment ago. */
  degraded?: boolean;
}

/** A part of a room's past, oldest first. */
export interface HistoryPage<T> {
  epoch: string;
  messages: { offset: number; from?: string; event?: string; payload: T; timestamp: string }[];
  /** Whether the page ended before the past did. */
  more: boolean;
}

/**
 * @internal A message, either way. What its payload is depends on its type, and the gateway is believed. A binary one has
 * the type `binary` and its bytes for a payload.
 */
export interface Frame {
  type: string;
  id?: string;
  room?: string;
  payload?: any;
  from?: string;
  event?: string;
  timestamp?: string;
  traceparent?: string;
  epoch?: string;
  offset?: number;
}
