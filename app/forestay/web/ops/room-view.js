// One room: who is in it, its messages as they go, and what happened in it.

import * as actions from "./actions.js";
import * as api from "./api.js";
import { element } from "./dom.js";
import { eventTable } from "./events.js";
import { button, bytesRate, facts, link, part, rate } from "./parts.js";
import { Table } from "./table.js";
import { Watch } from "./watch.js";
import { count } from "./words.js";

const MEMBERS = 100;
const TOP = 100;

export class RoomView {
  about = "Who is in it, its messages as they go, and the last things that happened in it.";
  seconds = 5;
  tab = "rooms";
  #room;
  #members;
  #facts = element("div");
  #users;
  #note = element("p", { class: "hint" });
  #watch;
  #recent = eventTable("What happened", "No pod remembers anything about this room.");

  constructor(shell, room) {
    this.#room = room;
    this.title = `Room ${room}`;
    this.#watch = new Watch(api.path("/v1/rooms/{}/watch", room));
    this.#users = new Table(
      "Members",
      [
        { title: "User", kind: "name", cell: ({ user }) => link("user", user) },
        { title: "Connections", kind: "number", cell: ({ connections }) => count(connections) },
        {
          title: "Do",
          cell: ({ user }) =>
            button("Remove…", () => actions.remove(shell, room, user), { label: `Remove ${user} from ${room}` }),
        },
      ],
      ({ user }) => user,
      "Nobody is named here.",
    );
    this.element = element(
      "div",
      {},
      element(
        "p",
        { class: "row" },
        button("Publish…", () => actions.publish(shell, room, this.#members)),
      ),
      element(
        "div",
        { class: "split two" },
        part("Now", this.#facts),
        part("Members", this.#users.element, this.#note),
      ),
      part("Frames", this.#watch.element),
      part("What happened", this.#recent.element),
    );
  }

  async load(signal) {
    const [present, top, past] = await Promise.all([
      this.#present(signal),
      api.read("/v1/rooms", { by: "members", limit: TOP }, signal),
      api.read("/v1/recent", { room: this.#room, limit: 100 }, signal),
    ]);
    const numbers = top.rooms.find(({ room }) => room === this.#room);
    return { present, numbers, recent: past.recent, complete: top.complete && past.complete };
  }

  show({ present, numbers, recent }) {
    this.#members = present.count ?? numbers?.members;
    const { users } = present;
    this.#facts.replaceChildren(
      facts([
        ["Members", this.#members === undefined ? `not among the ${TOP} largest rooms` : count(this.#members)],
        ["Users", users === undefined ? null : count(users)],
        ["Messages", numbers?.messages === undefined ? null : rate(numbers.messages)],
        ["Deliveries", numbers?.deliveries === undefined ? null : rate(numbers.deliveries)],
        ["Payloads", numbers?.bytes === undefined ? null : bytesRate(numbers.bytes)],
      ]),
    );
    const members = present.members ?? [];
    this.#users.show(members);
    this.#note.textContent = present.why ?? (users > members.length ? `The first ${MEMBERS} of ${count(users)}.` : "");
    this.#recent.show(recent);
  }

  leave() {
    this.#watch.leave();
  }

  /** Who is there, or `{ why }` where the room does not say it. */
  async #present(signal) {
    try {
      return await api.read(api.path("/v1/rooms/{}/presence", this.#room), { limit: MEMBERS }, signal);
    } catch (error) {
      if (error.kind === "scope") return { why: error.message };
      throw error;
    }
  }
}
