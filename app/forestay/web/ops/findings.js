// Finds why a user may hear nothing, from its connections and from what happened to it lately.

import { judge } from "./closes.js";
import { ago, at, plural } from "./parts.js";
import { size } from "./words.js";

// Seconds without a pong from which the network of a client is suspected.
const SILENT = 10;

const REFUSALS = {
  forbidden: "its token has no right to this room",
  not_joined: "it is not in this room",
  rate_limited: "it sends more than its rate allows",
  too_many_rooms: "it is in as many rooms as it may be",
  refused_by_application: "a hook of the application refused it",
  unavailable: "the bus did not take the request",
};

/**
 * Sentences `{ tone, text }`, the gravest first. `connections`: of the user; `recent`: what happened to it, newest
 * first; `room`: the room that the user should hear, or "".
 */
export function findings(user, connections, recent, room = "") {
  const found = [
    ...absent(user, connections, recent),
    ...connections.flatMap((each) => [...unwell(each)]),
    ...outside(user, connections, recent, room),
    ...refused(recent, room),
    ...told(recent, room),
  ];
  return found.length > 0 ? found : [well(user, connections, room)];
}

function absent(user, connections, recent) {
  if (connections.length > 0) return [];
  const last = recent.find(({ kind }) => kind === "ended");
  if (!last) {
    const text =
      `${user} has no connection, and no pod remembers one. Its requests to connect may be refused: ` +
      "those are in the view Refused, without a user, because a refused token proves none.";
    return [{ tone: "bad", text }];
  }
  const { name, meaning } = judge(last.code);
  const reason = last.reason ? `, “${last.reason}”` : "";
  const how = `The last one ended at ${at(last.at)} by the ${last.by}: ${last.code} (${name})${reason}. ${meaning}`;
  return [{ tone: "bad", text: `${user} has no connection. ${how}` }];
}

function* unwell({ id, slow_rooms: slow = [], waiting_bytes: waits = 0, pings, moving, expires_at: expires }) {
  if (slow.length > 0) {
    const text = `${id} reads too slowly, and misses messages of ${slow.join(", ")} now. ${size(waits)} wait for its network.`;
    yield { tone: "bad", text };
  } else if (waits > 0)
    yield { tone: "warning", text: `${id} has not yet taken ${size(waits)} of what was written to it.` };
  if (pings?.waiting > SILENT) {
    const text = `${id} has not answered a ping for ${Math.round(pings.waiting)} s: its network may be gone.`;
    yield { tone: "warning", text };
  }
  if (moving) yield { tone: "warning", text: `${id} was asked to connect elsewhere (${moving}).` };
  if (expires !== undefined && expires * 1000 < Date.now() + 60_000) {
    yield { tone: "warning", text: `The token of ${id} expires: ${ago(expires)}.` };
  }
}

function outside(user, connections, recent, room) {
  if (connections.length === 0) return [];
  if (room === "") {
    const idle = connections.filter(({ rooms }) => rooms.length === 0);
    return idle.map(({ id }) => ({
      tone: "warning",
      text: `${id} is in no room, so it hears only what is sent to ${user}.`,
    }));
  }
  const inside = connections.filter(({ rooms }) => rooms.includes(room));
  if (inside.length === connections.length) return [];
  const asked = recent.some((event) => event.kind === "refused" && event.room === room);
  const hint = asked ? "" : " No pod remembers that it was refused: it may not have asked to join.";
  const who =
    inside.length === 0
      ? `No connection of ${user}`
      : `Only ${inside.length} of ${plural(connections.length, "connection")}`;
  return [{ tone: "bad", text: `${who} is in ${room}.${hint}` }];
}

function refused(recent, room) {
  const events = recent.filter((event) => event.kind === "refused" && (room === "" || event.room === room));
  const last = new Map();
  for (const event of events) {
    const key = `${event.code} ${event.room ?? ""}`;
    const before = last.get(key);
    last.set(key, { event: before?.event ?? event, times: (before?.times ?? 0) + (event.times ?? 1) });
  }
  return [...last.values()].map(({ event, times }) => {
    const why = REFUSALS[event.code] ? `, because ${REFUSALS[event.code]}` : "";
    const where = event.room ? ` about ${event.room}` : "";
    const text = `A request${where} was refused as ${event.code}${why}: ${plural(times, "time")}, last at ${at(event.at)}.`;
    return { tone: event.code === "forbidden" ? "bad" : "warning", text };
  });
}

function told(recent, room) {
  const event = recent.find(({ kind, room: where }) => kind === "resync" && (room === "" || where === room));
  if (!event) return [];
  const text = `At ${at(event.at)} it was told that messages of ${event.room} are missing (${event.reason}), and should load them anew.`;
  return [{ tone: "warning", text }];
}

function well(user, connections, room) {
  const where = room === "" ? "" : ` All of them are in ${room}.`;
  const text =
    `Nothing stands in the way: ${user} has ${plural(connections.length, "connection")}, and they take what they ` +
    `are sent.${where} Watch the frames of one: open it below.`;
  return { tone: "good", text };
}
