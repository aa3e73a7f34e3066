// A table of connections, as the views of a user and of slow readers have it.

import { disconnectOne } from "./actions.js";
import { element } from "./dom.js";
import { ago, button, known, link, plural, state, together } from "./parts.js";
import { Table } from "./table.js";
import { size } from "./words.js";

// So many rooms are named in one cell.
const ROOMS = 6;

export function connectionTable(shell, label, empty) {
  return new Table(
    label,
    [
      { title: "Connection", kind: "id", cell: ({ id }) => link("connection", id) },
      { title: "User", kind: "name", cell: ({ user }) => (user ? link("user", user) : null) },
      { title: "Wire", cell: ({ wire }) => wire },
      { title: "Since", cell: ({ since }) => known(since, ago) },
      { title: "Heard", cell: ({ heard_at: heard }) => known(heard, ago) },
      { title: "Rooms", kind: "wide", cell: ({ rooms }) => roomLinks(rooms) },
      { title: "Waits", kind: "number", cell: ({ waiting_bytes: bytes }) => known(bytes, size) },
      { title: "State", cell: (connection) => health(connection) },
      { title: "Pod", kind: "id", cell: ({ pod }) => pod },
      {
        title: "Do",
        cell: ({ id, user }) =>
          button("Disconnect…", () => disconnectOne(shell, id, user ?? "a user"), { label: `Disconnect ${id}` }),
      },
    ],
    ({ id }) => id,
    empty,
  );
}

/** What is not as it should be with a connection, in a word or two. */
export function health({ slow_rooms: slow = [], moving, pings }) {
  if (slow.length > 0) return state(`misses ${plural(slow.length, "room")}`, "bad");
  if (moving) return state(`asked to move (${moving})`, "warning");
  if (pings?.waiting > 5) return state(`no pong for ${Math.round(pings.waiting)} s`, "warning");
  return state("well", "good");
}

function roomLinks(rooms) {
  if (rooms.length === 0) return element("span", { class: "hint", text: "in no room" });
  const more = rooms.length - ROOMS;
  return together(
    ...rooms.slice(0, ROOMS).map((room) => link("room", room)),
    more > 0 ? element("span", { class: "hint", text: `and ${more} more` }) : null,
  );
}
