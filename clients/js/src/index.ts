// Forestay's client: rooms over a WebSocket connection that survives deploys.

export { type CallOptions, Client, type ClientEvents, type ClientState } from "./client.js";
export { type Verdict, verdictOf, verdicts } from "./codes.js";
export { DisconnectedError, RefusedError, UnauthorizedError, UnknownOutcomeError } from "./errors.js";
export type { HistoryPage, Position, PresencePage } from "./frames.js";
export type { ClientOptions, Transport } from "./options.js";
export {
  type Joined,
  type Message,
  type PublishOptions,
  Room,
  type RoomEvents,
  type RoomState,
} from "./room.js";
