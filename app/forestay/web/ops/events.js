// Says what happened lately, in a sentence for each kind of event, and shows events in a table.

import { judge } from "./closes.js";
import { element } from "./dom.js";
import { ago, at, link, plural, state } from "./parts.js";
import { Table } from "./table.js";

const KINDS = {
  ended: ["ended", null],
  refused: ["refused", "warning"],
  turned_away: ["turned away", "warning"],
  resync: ["resync", "bad"],
  gap: ["gap", "warning"],
  slow: ["too slow", "warning"],
  removed: ["removed", "warning"],
  bus: ["bus", "bad"],
};

/** Why members of a room were told that messages are lost. */
const RESYNCS = {
  lost: "the history does not have them any more",
  missed: "the bus was lost, and the room has no history",
  slow: "the client reads too slowly",
};

const REMOVALS = {
  removed: "a backend or an operator wanted it",
  forbidden: "its new token has no right to the room",
};

/** Why a client was taken out of a room. */
export const removal = (reason) => REMOVALS[reason] ?? reason;

const SENTENCES = {
  ended: ({ code, reason, by, seconds }) =>
    `The ${by} ended it with ${code} (${judge(code).name})${said(reason)}${after(seconds)}.`,
  refused: ({ code, room }) => `A request${room ? ` about ${room}` : ""} was refused: ${code}.`,
  turned_away: ({ status, code, reason, address }) =>
    `A connect was refused with ${status} ${code}${said(reason)}${address ? `, from ${address}` : ""}.`,
  resync: ({ room, reason, members }) =>
    `${plural(members ?? 1, "member")} of ${room} ${members === 1 ? "was" : "were"} told that messages are missing: ` +
    `${RESYNCS[reason] ?? reason}.`,
  gap: ({ room, messages }) => `${plural(messages, "message")} of ${room} had to be read from the history.`,
  slow: ({ policy }) => `The client read too slowly${policy ? `; the policy is ${policy}` : ""}.`,
  removed: ({ room, reason }) => `It was taken out of ${room}: ${removal(reason)}.`,
  bus: ({ event }) => `Bus: ${event}.`,
};

/** One sentence about an event. A kind that this page does not know is shown as it is. */
export function sentence(event) {
  const times = event.times > 1 ? ` ${event.times} times in a row.` : "";
  return (SENTENCES[event.kind]?.(event) ?? JSON.stringify(event)) + times;
}

/** A table of events, newest first. */
export function eventTable(label, empty) {
  return new Table(
    label,
    [
      { title: "When", cell: (event) => when(event) },
      { title: "Kind", cell: ({ kind }) => state(...(KINDS[kind] ?? [kind, null])) },
      { title: "What", kind: "wide", cell: sentence },
      { title: "User", kind: "name", cell: ({ user }) => (user ? link("user", user) : null) },
      {
        title: "Connection",
        kind: "id",
        cell: ({ connection }) => (connection ? link("connection", connection) : null),
      },
      { title: "Room", kind: "name", cell: ({ room }) => (room ? link("room", room) : null) },
      { title: "Pod", kind: "id", cell: ({ pod }) => pod },
    ],
    ({ at: time, pod, kind, connection, room, code }) => [time, pod, kind, connection, room, code].join(" "),
    empty,
  );
}

function when(event) {
  return element("time", {
    datetime: new Date(event.at * 1000).toISOString(),
    text: `${at(event.at)}, ${ago(event.at)}`,
  });
}

const said = (reason) => (reason ? `: ${reason}` : "");

const after = (seconds) => (seconds === undefined ? "" : `, after ${Math.round(seconds)} s`);
