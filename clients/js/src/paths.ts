// The addresses of a gateway beside that of its WebSocket, and the positions as a stream's address has them.

import type { Position } from "./frames.js";

/** @internal `path` in place of the last part of the WebSocket's address. */
export const addressOfPath = (url: string, path: string): URL => {
  const address = new URL(url.replace("ws", "http"));
  address.pathname = address.pathname.replace(/[^/]*$/, path);
  return address;
};

/** @internal The user's own room, which every token opens: a stream has at least one room. */
export const ANCHOR = "@me";

/** @internal The address of the stream of these rooms. */
export const streamAddress = (url: string, rooms: string[]): URL => {
  const address = addressOfPath(url, "stream");
  for (const room of rooms[0] ? rooms : [ANCHOR]) address.searchParams.append("room", room);
  return address;
};

/** @internal What a `Last-Event-ID` says of rooms in their order; nothing where no room has a position. */
export const eventId = (positions: (Position | undefined)[]): string =>
  positions.some(Boolean) ? `*:${positions.map((here) => (here ? `${here.offset}.${here.epoch}` : "")).join()}` : "";
