// The story of a connection: how it is now, its frames as they go, and what happened to it.

import * as actions from "./actions.js";
import * as api from "./api.js";
import { health } from "./connections.js";
import { element } from "./dom.js";
import { eventTable } from "./events.js";
import { ago, button, facts, link, part, plural } from "./parts.js";
import { Table } from "./table.js";
import { Watch } from "./watch.js";
import { size } from "./words.js";

export class ConnectionView {
  about = "How it is now, its frames as they go, and the last things that happened to it.";
  seconds = 5;
  tab = "none";
  #id;
  #user = "";
  #facts = element("div", { class: "facts-box" });
  #rooms;
  #watch;
  #end;
  #recent = eventTable("What happened", "No pod remembers anything about this connection.");

  constructor(shell, id) {
    this.#id = id;
    this.title = `Connection ${id}`;
    this.#watch = new Watch(api.path("/v1/connections/{}/watch", id));
    this.#end = button("Disconnect…", () => actions.disconnectOne(shell, id, this.#user || "a user"));
    this.#rooms = new Table(
      "Rooms",
      [
        { title: "Room", kind: "name", cell: ({ room }) => link("room", room) },
        {
          title: "Messages",
          cell: ({ misses }) => (misses ? "misses some now, because it reads slowly" : "as they come"),
        },
        {
          title: "Do",
          cell: ({ room }) =>
            button("Remove…", () => actions.remove(shell, room, this.#user, id), { label: `Remove it from ${room}` }),
        },
      ],
      ({ room }) => room,
      "It is in no room.",
    );
    this.element = element(
      "div",
      {},
      element("p", { class: "row" }, this.#end),
      element("div", { class: "split two" }, part("Now", this.#facts), part("Rooms", this.#rooms.element)),
      part("Frames", this.#watch.element),
      part("What happened", this.#recent.element),
    );
  }

  async load(signal) {
    const [now, past] = await Promise.all([
      this.#now(signal),
      api.read("/v1/recent", { connection: this.#id, limit: 100 }, signal),
    ]);
    return { now, recent: past.recent, complete: past.complete };
  }

  show({ now, recent }) {
    this.#user = now?.user ?? recent.find(({ user }) => user)?.user ?? "";
    this.#end.disabled = now === null;
    this.#facts.replaceChildren(now === null ? gone(this.#user) : facts(about(now)));
    const slow = now?.slow_rooms ?? [];
    this.#rooms.show((now?.rooms ?? []).map((room) => ({ room, misses: slow.includes(room) })));
    this.#recent.show(recent);
  }

  leave() {
    this.#watch.leave();
  }

  /** The connection, or null where no pod has it. */
  async #now(signal) {
    try {
      return await api.read(api.path("/v1/connections/{}", this.#id), {}, signal);
    } catch (error) {
      if (error.kind === "missing") return null;
      throw error;
    }
  }
}

function gone(user) {
  return element(
    "p",
    {},
    "No pod has this connection any more: it has ended, or never was. What happened is below. ",
    user === "" ? null : link("user", user, `See ${user}`),
  );
}

function about(now) {
  const { pings, rights } = now;
  return [
    ["State", health(now)],
    ["User", now.user ? link("user", now.user) : null],
    ["Pod", now.pod],
    ["Wire", now.wire],
    ["Since", now.since && ago(now.since)],
    ["Token expires", now.expires_at && ago(now.expires_at)],
    ["Last heard", now.heard_at && ago(now.heard_at)],
    ["Pings", pings && `${pings.answered} of ${plural(pings.sent, "ping")} answered`],
    ["Waits for its network", now.waiting_bytes === undefined ? null : size(now.waiting_bytes)],
    [
      "Rights",
      rights &&
        Object.entries(rights)
          .map(([pattern, right]) => `${pattern}: ${right}`)
          .join(", "),
    ],
  ];
}
