// The story of a user: why it may hear nothing, its connections now, and what happened to it.

import * as actions from "./actions.js";
import * as api from "./api.js";
import { connectionTable } from "./connections.js";
import { element } from "./dom.js";
import { eventTable } from "./events.js";
import { findings } from "./findings.js";
import { button, part } from "./parts.js";

export class UserView {
  about = "Its connections on all pods, and the last things that happened to it.";
  seconds = 5;
  tab = "none";
  #user;
  #data = { connections: [], recent: [], away: [], pods: [], complete: true };
  #room = element("input", {
    id: "user-room",
    autocomplete: "off",
    autocapitalize: "none",
    spellcheck: "false",
    placeholder: "any room",
    maxlength: "128",
  });
  #findings = element("ul", { class: "findings" });
  #connections;
  #recent = eventTable("What happened", "No pod remembers anything about this user.");

  constructor(shell, user) {
    this.#user = user;
    this.title = `User ${user}`;
    this.#connections = connectionTable(shell, "Connections", "This user has no connection.");
    this.#room.addEventListener("input", () => this.#find());
    const number = () => this.#data.connections.length;
    this.element = element(
      "div",
      {},
      element(
        "div",
        { class: "row apart" },
        element(
          "p",
          { class: "row" },
          element("label", { for: "user-room", text: "Room that it should hear" }),
          this.#room,
        ),
        element(
          "p",
          { class: "row" },
          button("Disconnect…", () => actions.disconnect(shell, user, number())),
          button("Revoke its tokens…", () => actions.revoke(shell, user, number())),
        ),
      ),
      part("Why it may hear nothing", this.#findings),
      part("Connections", this.#connections.element),
      part("What happened", this.#recent.element),
    );
  }

  async load(signal) {
    const [now, past, away, fleet] = await Promise.all([
      api.read(api.path("/v1/users/{}/connections", this.#user), {}, signal),
      api.read("/v1/recent", { user: this.#user, limit: 100 }, signal),
      api.read("/v1/recent", { kind: "turned_away", limit: 100 }, signal),
      api.read("/v1/info", {}, signal),
    ]);
    return {
      connections: now.connections,
      recent: past.recent,
      away: away.recent,
      pods: fleet.pods,
      complete: [now, past, away, fleet].every(({ complete }) => complete),
    };
  }

  show(data) {
    this.#data = data;
    this.#connections.show(data.connections);
    this.#recent.show(data.recent);
    this.#find();
  }

  #find() {
    const found = findings(this.#user, this.#data, this.#room.value.trim());
    const rows = found.map(({ tone, text }) => element("li", { "data-tone": tone, text }));
    this.#findings.replaceChildren(...rows);
  }
}
