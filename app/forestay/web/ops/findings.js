// Finds why a user may hear nothing, from its connections and from what happened to it lately.

import { judge } from "./closes.js";
import { removal } from "./events.js";
import { ago, at, plural } from "./parts.js";
import { size } from "./words.js";

// Seconds without a pong from which the network of a client is suspected.
const SILENT = 10;
// Seconds for which it matters that somebody was refused, and that somebody came back.
const LATELY = 600;
// So many causes are named.
const CAUSES = 3;

const REFUSALS = {
  invalid_room: "a room cannot have this name",
  forbidden: "its token has no right to this room",
  not_joined: "it is not in this room",
  rate_limited: "it sends more than its rate allows",
  too_many_rooms: "it is in as many rooms as it may be",
  refused_by_application: "a hook of the application refused it",
  unavailable: "the bus did not take the request",
};

/**
 * Sentences `{ tone, text }`, the gravest first. `connections`: of the user; `recent`: what happened to it, newest
 * first; `away`: requests to connect of anybody that were refused, newest first; `pods`: those that answered;
 * `complete`: whether all did; `room`: the room that the user should hear, or "".
 */
export function findings(user, { connections, recent, away, pods, complete }, room = "") {
  const found = [
    ...silent(user, complete),
    ...absent(user, connections, recent),
    ...strangers(user, connections, away),
    ...crowded(user, connections, recent),
    ...deaf(connections, pods),
    ...connections.flatMap((each) => [...unwell(each)]),
    ...outside(user, connections, recent, room),
    ...taken(connections, recent, room),
    ...refused(recent, room),
    ...told(recent, room),
  ];
  return [...(found.length > 0 ? found : [well(user, connections, room)]), ...back(connections, recent)];
}

function silent(user, complete) {
  if (complete) return [];
  const text =
    `Not all pods answered, so connections of ${user} may be missing here. A pod that has lost the bus does not ` +
    "answer, and its clients hear nothing of other pods: ask its own page.";
  return [{ tone: "bad", text }];
}

function absent(user, connections, recent) {
  if (connections.length > 0) return [];
  const last = recent.find(({ kind }) => kind === "ended" || kind === "turned_away");
  if (!last) {
    const text =
      `${user} has no connection, and no pod remembers one. Its requests to connect may be refused for their page or ` +
      "their token: those are in the view Refused, without a user, because nothing proves whose they are. It may be on a " +
      "pod that has lost the bus: compare the view Pods with those that run.";
    return [{ tone: "bad", text }];
  }
  if (last.kind === "turned_away") {
    const { times = 1, status, code, reason } = last;
    const text =
      `${user} has no connection. Its requests to connect are refused with ${status} (${code}): ${reason}. ` +
      `${plural(times, "time")} in a row, last at ${at(last.at)}.`;
    return [{ tone: "bad", text }];
  }
  const { name, meaning } = judge(last.code);
  const reason = last.reason ? `, “${last.reason}”` : "";
  const how = `The last one ended at ${at(last.at)} by the ${last.by}: ${last.code} (${name})${reason}. ${meaning}`;
  return [{ tone: "bad", text: `${user} has no connection. ${how}` }];
}

/** Requests to connect that prove no user, where this one has no connection. */
function strangers(user, connections, away) {
  if (connections.length > 0) return [];
  const causes = new Map();
  for (const { user: known, at: last, times = 1, status, code, reason } of away) {
    if (known || last < Date.now() / 1000 - LATELY) continue;
    const cause = `${status} (${code}): ${reason}`;
    const before = causes.get(cause);
    causes.set(cause, { last: before?.last ?? last, times: (before?.times ?? 0) + times });
  }
  return [...causes].slice(0, CAUSES).map(([cause, { last, times }]) => ({
    tone: "warning",
    text:
      `${plural(times, "request")} to connect that ${times === 1 ? "proves" : "prove"} no user, perhaps of ${user}: ` +
      `refused with ${cause}. Last at ${at(last)}.`,
  }));
}

/** It has as many connections as it may, so that one more was ended. */
function crowded(user, connections, recent) {
  const since = Date.now() / 1000 - LATELY;
  const over = recent.filter((event) => event.kind === "ended" && event.code === 4409 && event.at > since);
  if (connections.length === 0 || over.length === 0) return [];
  const times = over.reduce((sum, each) => sum + (each.times ?? 1), 0);
  const text =
    `${user} has as many connections as it may have. One more was ended with 4409, and its client hears nothing: ` +
    `${plural(times, "time")}, last at ${at(over[0].at)}. FORESTAY_MAX_CONNECTIONS_PER_USER is the limit.`;
  return [{ tone: "bad", text }];
}

/** Connections on pods that hear nothing of the others. */
function deaf(connections, pods) {
  return connections.flatMap(({ id, pod }) => {
    const found = pods.find((each) => each.pod === pod && !each.bus.up);
    if (!found) return [];
    const text = `${id} is on ${found.host || pod}, which has lost the bus: it hears nothing that other pods publish.`;
    return [{ tone: "bad", text }];
  });
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
  const known = recent.some(({ kind, room: where }) => (kind === "refused" || kind === "removed") && where === room);
  const hint = known
    ? ""
    : ` No pod remembers that it was refused: it may not have asked to join.${others(connections, room)}`;
  const who =
    inside.length === 0
      ? `No connection of ${user}`
      : `Only ${inside.length} of ${plural(connections.length, "connection")}`;
  return [{ tone: "bad", text: `${who} is in ${room}.${hint}` }];
}

/** The rooms that it is in instead, those with a similar name first. */
function others(connections, room) {
  const names = new Set(connections.flatMap(({ rooms }) => rooms));
  const alike = [...names].filter((name) => isAlike(name, room));
  if (alike.length > 0) return ` It is in ${alike.join(", ")}: is one of the names misspelt?`;
  return "";
}

/** Whether few letters make the difference. */
function isAlike(one, other) {
  const [from, to] = [one.toLowerCase(), other.toLowerCase()];
  let row = [...to, ""].map((_, index) => index);
  for (const [index, letter] of [...from].entries()) {
    const next = [index + 1];
    for (const [column, wanted] of [...to].entries()) {
      next.push(Math.min(row[column] + (letter === wanted ? 0 : 1), row[column + 1] + 1, next[column] + 1));
    }
    row = next;
  }
  return row.at(-1) <= 2;
}

/** It was in the room, and somebody took it out. */
function taken(connections, recent, room) {
  const rooms = new Map();
  for (const event of recent) {
    const isMeant = event.kind === "removed" && (room === "" || event.room === room);
    const isIn = connections.some(({ id, rooms: names }) => id === event.connection && names.includes(event.room));
    if (isMeant && !isIn && !rooms.has(event.room)) rooms.set(event.room, event);
  }
  return [...rooms.values()].map(({ at: when, room: where, reason, connection }) => ({
    tone: "bad",
    text: `${connection} was taken out of ${where} at ${at(when)}: ${removal(reason)}.`,
  }));
}

/** It was away a moment ago, which is a fault only where rooms keep nothing. */
function back(connections, recent) {
  if (connections.length === 0) return [];
  const last = recent.find(({ kind }) => kind === "ended");
  const since = Math.min(...connections.map(({ since: begun }) => begun ?? 0));
  if (!last || since < last.at || since < Date.now() / 1000 - LATELY) return [];
  const text =
    `It was away from ${at(last.at)} to ${at(since)}. A room without history does not keep what was sent meanwhile, ` +
    "and the client is told so: recovered is false.";
  return [{ tone: "warning", text }];
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
