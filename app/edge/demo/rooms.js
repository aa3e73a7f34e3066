// The rooms: what this page wants, what the gateway answers, and what that changes. No socket, no page.

import { fingerprint, writeBinary } from "./frames.js";
import { Room } from "./room.js";
import { Unheard } from "./unheard.js";

// Of a binary message only the beginning is kept for showing.
const SHOWN_BYTES = 64;

export class Rooms {
  all = new Map();
  selected = null;
  user = "";
  /** Binary type → { room, bound }. A connection binds for itself, so this is asked again on each new one. */
  bindings = new Map();
  #wire;
  #on;
  #ids = 0;
  /** Correlation id → what the answer is for. */
  #asked = new Map();
  #unheard = new Unheard();

  /**
   * `wire`: `say(sentence)`, `sayBinary(frame)`, both false when nothing is connected. `on`: `rooms()` (the list or a
   * room's state), `people(room)`, `entry(room, entry, dropped)`, `changed(entry)`, `moved(room, entry)`,
   * `refused(name, error)` (a join), `lost(error)` (an error that belongs nowhere).
   */
  constructor(wire, on) {
    this.#wire = wire;
    this.#on = on;
  }

  get current() {
    return this.all.get(this.selected) ?? null;
  }

  select(name) {
    this.selected = name;
    if (this.current !== null) this.current.unread = 0;
    this.#on.rooms();
  }

  join(name) {
    let room = this.all.get(name);
    if (room === undefined) {
      room = new Room(name);
      this.all.set(name, room);
    }
    if (room.state !== "joined") this.#askToJoin(room);
    this.select(name);
  }

  leave(name) {
    const room = this.all.get(name);
    if (room?.state === "joined") this.#ask({ type: "leave", room: name }, { for: "leave", room });
    this.#forget(room);
  }

  /** Say `text` in `room`. It is shown at once and marked as the answers come in. */
  say(room, text) {
    const reference = crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`;
    const entry = this.#add(room, { kind: "message", from: this.user, own: true, text, state: "sending" });
    entry.reference = reference;
    entry.sentAt = performance.now();
    this.#unheard.addText(room, entry);
    this.#broadcast(room, entry);
  }

  /** Say that messages of type `number` go to `room`; also said unasked, before the first of them. */
  bind(room, number) {
    this.bindings.set(number, { room: room.name, bound: false });
    this.#ask({ type: "bind", room: room.name, payload: { type: number } }, { for: "bind", room, number });
    this.#on.rooms();
  }

  sendBinary(room, number, body) {
    if (this.bindings.get(number)?.room !== room.name) this.bind(room, number);
    const frame = writeBinary(number, body);
    const entry = this.#add(room, { ...binaryEntry(number, body), from: this.user, own: true, state: "sent" });
    entry.sentAt = performance.now();
    this.#unheard.addBinary(room, entry, fingerprint(new Uint8Array(frame)));
    if (!this.#wire.sayBinary(frame)) this.#mark(entry, { state: "unknown" });
  }

  /** A connection is there. `moved`: the one before still is, so nothing was missed. */
  welcomed(payload, moved) {
    this.user = payload.user ?? "";
    for (const room of this.all.values()) {
      if (room.state === "left") continue;
      if (!moved) room.state = "joining";
      this.#askToJoin(room, moved);
    }
    for (const [number, { room }] of this.bindings) {
      if (this.all.has(room)) this.bind(this.all.get(room), number);
    }
    this.#on.rooms();
  }

  /** No connection is left: what was asked will not be answered. */
  disconnected() {
    this.#asked.clear();
    for (const entry of this.#unheard.disconnected()) this.#mark(entry, { state: "unknown" });
    for (const room of this.all.values()) {
      if (room.state === "joined") this.#note(room, "The connection is gone.", "loss");
      if (room.state !== "left") room.state = "away";
    }
    this.#on.rooms();
  }

  hear(sentence) {
    const asked = this.#asked.get(sentence.id);
    this.#asked.delete(sentence.id);
    const room = this.all.get(sentence.room) ?? asked?.room ?? null;
    const payload = sentence.payload ?? {};
    if (sentence.type === "joined" && room) this.#joined(room, payload, asked);
    else if (sentence.type === "left" && room) this.#left(room, payload, asked);
    else if (sentence.type === "ack" && asked) this.#acknowledged(asked);
    else if (sentence.type === "broadcast" && room) this.#heard(room, sentence);
    else if (sentence.type === "user-joined" && room) this.#seen(room, payload.user, "here", "came in");
    else if (sentence.type === "user-left" && room) this.#seen(room, payload.user, "gone", "left");
    else if (sentence.type === "resync" && room) this.#resync(room, payload);
    else if (sentence.type === "error") this.#error(room, payload, asked);
  }

  /** A binary message names no room: it belongs where its type is bound, or where else it can only be from. */
  hearBinary({ number, body, bytes }) {
    const mine = this.#unheard.takeBinary(fingerprint(bytes));
    if (mine !== null) {
      this.#heardMine(mine.room, mine.entry);
      return;
    }
    const joined = [...this.all.values()].filter((room) => room.state === "joined" && !room.personal);
    const bound = this.all.get(this.bindings.get(number)?.room);
    const room = bound ?? (joined.length === 1 ? joined[0] : this.current);
    if (room === null) return;
    const unsure = !bound && joined.length !== 1;
    this.#add(room, { ...binaryEntry(number, body), unsure });
  }

  #askToJoin(room, moved = false) {
    const since = room.position === null ? {} : { since: room.position };
    this.#ask(
      { type: "join", room: room.name, ...since },
      { for: "join", room, moved, again: room.entries.length > 0 },
    );
  }

  /** Say something that will be answered. */
  #ask(sentence, asked) {
    this.#ids += 1;
    const id = `${sentence.type}-${this.#ids}`;
    if (this.#wire.say({ ...sentence, id })) this.#asked.set(id, asked);
    else if (asked.entry) this.#mark(asked.entry, { state: "unknown" });
  }

  #broadcast(room, entry) {
    // Where the room keeps history, the key makes a repetition safe: it is accepted once.
    const key = room.keepsHistory ? { key: entry.reference } : {};
    entry.keyed = room.keepsHistory;
    const payload = { text: entry.text, ref: entry.reference };
    this.#ask({ type: "broadcast", room: room.name, payload, ...key }, { for: "broadcast", room, entry });
  }

  #joined(room, payload, asked) {
    room.entered(payload, this.user);
    if (payload.recovered === true) this.#note(room, "Back. What was said in between follows.");
    else if (payload.recovered === false) this.#note(room, "Back, but some messages may be missing.", "warning");
    else if (asked?.again && !asked.moved) {
      this.#note(room, "Back. What was said in between is missing: this room keeps no history.", "warning");
    }
    for (const entry of this.#unheard.toRepeat(room)) {
      this.#mark(entry, { state: "sending", error: null });
      this.#broadcast(room, entry);
    }
    this.#on.rooms();
    this.#on.people(room);
  }

  #left(room, payload, asked) {
    if (asked?.for === "leave") return;
    room.state = "left";
    this.#note(room, `You are out of this room${payload.reason ? `: ${payload.reason}` : ""}.`, "warning");
    this.#on.rooms();
  }

  #acknowledged(asked) {
    if (asked.for === "bind") {
      const binding = this.bindings.get(asked.number);
      if (binding?.room === asked.room.name) binding.bound = true;
      this.#on.rooms();
    } else if (asked.for === "broadcast" && asked.entry.state !== "heard") {
      this.#mark(asked.entry, { state: "accepted", took: performance.now() - asked.entry.sentAt });
    }
  }

  #heard(room, sentence) {
    if (!room.advance(sentence)) return;
    const { payload, from } = sentence;
    const at = new Date(sentence.timestamp);
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

  /** The room heard what we said: this is its place among what others said. */
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

  #resync(room, payload) {
    if (payload.epoch !== undefined) room.position = { epoch: payload.epoch, offset: payload.offset };
    const why = payload.reason ? ` (${payload.reason})` : "";
    this.#note(room, `You may have missed messages here${why}.`, "warning");
  }

  #error(room, error, asked) {
    if (asked?.for === "broadcast") {
      const unknown = error.code === "outcome_unknown";
      if (!unknown) this.#unheard.forget(asked.entry);
      this.#mark(asked.entry, { state: unknown ? "unknown" : "refused", error });
    } else if (asked?.for === "join") {
      if (room.entries.length > 0) this.#left(room, { reason: error.message }, asked);
      else this.#forget(room);
      this.#on.refused(room.name, error);
    } else if (asked?.for === "bind") {
      this.bindings.delete(asked.number);
      this.#add(room, { kind: "error", error });
      this.#on.rooms();
    } else if (asked?.for === "leave") {
      // It is gone from here in any case.
    } else if (room ?? this.current) {
      this.#add(room ?? this.current, { kind: "error", error });
    } else {
      this.#on.lost(error);
    }
  }

  #forget(room) {
    if (room === undefined) return;
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
