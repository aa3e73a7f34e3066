// Manages the rooms: joins, messages and their outcomes. It does not touch the document.

import { fingerprint, writeBinary } from "./frames.js";
import { Room } from "./room.js";
import { Unheard } from "./unheard.js";

// Only the first bytes of a binary message are kept.
const SHOWN_BYTES = 64;

export class Rooms {
  all = new Map();
  selected = null;
  /** Binary type → { room, bound }. */
  bindings = new Map();
  #client = null;
  #on;
  #unheard = new Unheard();

  /**
   * `on`: `rooms()` (the list or a room's state), `people(room)`, `entry(room, entry, dropped)`, `changed(entry)`,
   * `moved(room, entry)`, `refused(name, error)` (a join), `lost(error)` (an error that belongs to no room).
   */
  constructor(on) {
    this.#on = on;
  }

  get user() {
    return this.#client?.user ?? "";
  }

  get current() {
    return this.all.get(this.selected) ?? null;
  }

  select(name) {
    this.selected = name;
    if (this.current !== null) this.current.unread = 0;
    this.#on.rooms();
  }

  /** Uses another client, and joins the same rooms with it. */
  attach(client) {
    this.#client = client;
    this.bindings.clear();
    client.on("binary", ({ type, data }) => this.#heardBinary(null, type, data));
    client.on("error", (error) => this.#complain(error));
    for (const room of this.all.values()) {
      room.deafen();
      if (room.state !== "left") this.#enter(room);
    }
  }

  join(name) {
    const room = this.all.get(name) ?? new Room(name);
    this.all.set(name, room);
    if (room.state !== "joined") this.#enter(room);
    this.select(name);
  }

  leave(name) {
    const room = this.all.get(name);
    this.#forget(room);
    room?.line.leave();
  }

  /** Publishes `text` in `room`. It is shown at once and marked when the replies come. */
  say(room, text) {
    const reference = crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`;
    const entry = this.#add(room, { kind: "message", from: this.user, own: true, text, state: "sending" });
    entry.reference = reference;
    entry.sentAt = performance.now();
    this.#unheard.addText(room, entry);
    this.#publish(room, entry);
  }

  /** Binds messages of type `number` to `room`; also called before the first of them. */
  bind(room, number) {
    const binding = { room: room.name, bound: false };
    this.bindings.set(number, binding);
    room.line
      .bind(number)
      .then(
        () => (binding.bound = true),
        (error) => {
          if (this.bindings.get(number) === binding) this.bindings.delete(number);
          this.#add(room, { kind: "error", error });
        },
      )
      .finally(() => this.#on.rooms());
    this.#on.rooms();
  }

  sendBinary(room, number, body) {
    if (this.bindings.get(number)?.room !== room.name) this.bind(room, number);
    const entry = this.#add(room, { ...binaryEntry(number, body), from: this.user, own: true, state: "sent" });
    entry.sentAt = performance.now();
    this.#unheard.addBinary(room, entry, fingerprint(new Uint8Array(writeBinary(number, body))));
    room.line.send(number, body).catch(() => this.#mark(entry, { state: "unknown" }));
  }

  /** The connection was lost: messages without an acknowledgement may or may not have arrived. */
  disconnected() {
    for (const entry of this.#unheard.disconnected()) this.#mark(entry, { state: "unknown" });
  }

  #enter(room) {
    const line = this.#client.room(room.name);
    if (room.line !== line) {
      room.line = line;
      room.deafen = this.#listen(room, line);
    }
    room.state = "joining";
    // The room's state shows a refusal, and the client's state shows that it was stopped.
    line.join().catch(() => {});
  }

  #listen(room, line) {
    const stop = [
      line.on("state", (change) => this.#changed(room, change)),
      line.on("joined", (joined) => this.#joined(room, joined)),
      line.on("message", (message) => this.#heard(room, message)),
      line.on("binary", ({ type, data }) => this.#heardBinary(room, type, data)),
      line.on("resync", ({ reason }) => this.#resync(room, reason)),
      line.on("user-joined", ({ user }) => this.#seen(room, user, "here", "came in")),
      line.on("user-left", ({ user }) => this.#seen(room, user, "gone", "left")),
    ];
    return () => stop.forEach((off) => off());
  }

  #changed(room, { state, oldState, code, reason }) {
    if (state === "joining" && oldState === "joined") {
      room.state = "away";
      this.#note(room, "The connection is gone.", "loss");
    } else if (state === "left") {
      const isNew = oldState === "joining" && room.entries.length === 0;
      if (oldState === "joining") this.#on.refused(room.name, { code, message: reason });
      if (isNew) return this.#forget(room);
      room.state = "left";
      this.#note(room, `You are out of this room: ${oldState === "joining" ? reason : code}.`, "warning");
    }
    this.#on.rooms();
  }

  #joined(room, joined) {
    const wasHere = room.entries.length > 0;
    room.entered(joined, this.user);
    if (joined.recovered === true) this.#note(room, "Back. What was said in between follows.");
    else if (wasHere && !room.keepsHistory) {
      this.#note(room, "Back. What was said in between is missing: this room keeps no history.", "warning");
    } else if (joined.recovered === false) this.#note(room, "Back, but some messages may be missing.", "warning");
    for (const entry of this.#unheard.toRepeat(room)) {
      this.#mark(entry, { state: "sending", error: null });
      this.#publish(room, entry);
    }
    this.#on.rooms();
    this.#on.people(room);
  }

  #publish(room, entry) {
    // In a room with history the key makes a retry safe: the message is accepted once.
    entry.keyed = room.keepsHistory;
    const payload = { text: entry.text, ref: entry.reference };
    room.line.publish(payload, entry.keyed ? { key: entry.reference } : {}).then(
      () => this.#accepted(entry),
      (error) => this.#notAccepted(entry, error),
    );
  }

  #accepted(entry) {
    if (entry.state === "heard") return;
    this.#mark(entry, { state: "accepted", took: performance.now() - entry.sentAt });
  }

  #notAccepted(entry, error) {
    const unknown = error.name === "UnknownOutcomeError";
    if (!unknown || !entry.keyed) this.#unheard.forget(entry);
    this.#mark(entry, unknown ? { state: "unknown" } : { state: "refused", error });
  }

  #heard(room, { payload, from, timestamp }) {
    const at = new Date(timestamp);
    const mine = from === this.user ? this.#unheard.takeText(room, payload?.ref) : null;
    if (mine !== null) {
      this.#heardMine(room, mine, at);
      return;
    }
    const text = typeof payload === "string" ? payload : payload?.text;
    const content = typeof text === "string" ? { text } : { json: payload };
    this.#add(room, { kind: "message", from, at, elsewhere: from === this.user, ...content });
    if (from !== undefined && room.see(from, "heard")) this.#on.people(room);
  }

  /** A binary message names no room: it belongs to the room that its type is bound to, or to the only possible one. */
  #heardBinary(bound, number, body) {
    const mine = this.#unheard.takeBinary(fingerprint(new Uint8Array(writeBinary(number, body))));
    if (mine !== null) {
      this.#heardMine(mine.room, mine.entry);
      return;
    }
    const open = [...this.all.values()].filter(({ state, personal }) => state === "joined" && !personal);
    const room = bound ?? (open.length === 1 ? open[0] : this.current);
    if (room === null) return;
    const unsure = !bound && open.length !== 1;
    this.#add(room, { ...binaryEntry(number, body), unsure });
  }

  /** Our own message came back: this is its position among the others. */
  #heardMine(room, entry, at = entry.at) {
    this.#mark(entry, { state: "heard", at, error: null, took: entry.took ?? performance.now() - entry.sentAt });
    if (room.entries.at(-1) === entry) return;
    room.moveToEnd(entry);
    this.#on.moved(room, entry);
  }

  #seen(room, user, seen, words) {
    if (user === this.user || !room.see(user, seen)) return;
    this.#add(room, { kind: "note", user, text: words, tone: "person" });
    this.#on.people(room);
  }

  #resync(room, reason) {
    this.#note(room, `You may have missed messages here (${reason}).`, "warning");
  }

  /** A refusal that answers no request, or a missing token: it is shown in the selected room. */
  #complain(error) {
    if (this.current === null) this.#on.lost(error);
    else this.#add(this.current, { kind: "error", error });
  }

  #forget(room) {
    if (room === undefined) return;
    room.deafen();
    this.all.delete(room.name);
    for (const [number, binding] of this.bindings) {
      if (binding.room === room.name) this.bindings.delete(number);
    }
    if (this.selected === room.name) this.select(this.all.keys().next().value ?? null);
    else this.#on.rooms();
  }

  #note(room, text, tone = "plain") {
    this.#add(room, { kind: "note", text, tone });
  }

  #add(room, entry) {
    const { added, dropped } = room.add(entry);
    const counts = entry.kind === "message" || entry.kind === "binary";
    if (counts && room.name !== this.selected) {
      room.unread += 1;
      this.#on.rooms();
    }
    this.#on.entry(room, added, dropped);
    return added;
  }

  #mark(entry, change) {
    Object.assign(entry, change);
    this.#on.changed(entry);
  }
}

function binaryEntry(number, body) {
  return { kind: "binary", number, size: body.length, head: body.slice(0, SHOWN_BYTES) };
}
