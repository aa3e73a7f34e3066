// A room on one connection: asked for, joined, left.

import type { Connection, Membership } from "./connection.js";
import type { Position } from "./frames.js";
import type { Answer, Requests } from "./requests.js";
import type { Joined, Room } from "./room.js";

/** @internal What the room's `joined` said there, if it came. */
export const joinedOn = (connection: Connection, room: Room<any>): Partial<Position> | undefined =>
  connection._rooms.get(room)?._joined;

/** @internal Resolves when it is answered, or cannot be any more. */
export const leaveOn = (connection: Connection, room: Room<any>, requests: Requests): Promise<unknown> => {
  connection._rooms.delete(room);
  // What was joined again is not left by a leave that was refused before and comes late.
  const isVain = () => connection._rooms.has(room);
  return new Promise((left) => requests._ask({ type: "leave", room: room.name }, left, connection, undefined, isVain));
};

/** @internal Calls `joined` when it is, for as long as this is what we asked last of the connection about the room. */
export const joinOn = (
  connection: Connection,
  room: Room<any>,
  requests: Requests,
  joined: (connection: Connection, room: Room<any>, payload: Joined) => void,
): void => {
  const membership: Membership = {};
  connection._rooms.set(room, membership);
  const isVain = () => connection._rooms.get(room) !== membership;
  const answer: Answer = (error, payload) => {
    // The gateway keeps the order: what was left meanwhile is followed by a leave.
    if (isVain()) return;
    if (!error) joined(connection, room, (membership._joined = payload));
    // A refusal that is not for good says when to come again.
    else if (error.retryAfter) {
      setTimeout(() => isVain() || joinOn(connection, room, requests, joined), error.retryAfter);
    } else room._leave(error);
  };
  requests._ask({ type: "join", room: room.name, since: room._position }, answer, connection, undefined, isVain);
};
