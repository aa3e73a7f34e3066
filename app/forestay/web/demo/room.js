// The state of one room: its entries and the people seen in it.

export const PERSONAL = "@me";

// Entries that are kept; the oldest are dropped first.
const KEPT = 500;

let entries = 0;

export class Room {
  /** "joining", "joined", "away" (no connection; will rejoin), or "left" (the gateway ended the membership). */
  state = "joining";
  entries = [];
  /** user → "here", "gone", or "heard" (sent a message, which does not need membership). */
  people = new Map();
  /** Whether the gateway named the members; otherwise only people that were seen are known. */
  membersKnown = false;
  keepsHistory = false;
  unread = 0;
  /** The client's room, and the function that removes its listeners. */
  line = null;
  deafen = () => {};

  constructor(name) {
    this.name = name;
    this.personal = name === PERSONAL;
  }

  /** Adds a message or an event. Returns the entry, and the entry that was dropped for it. */
  add(entry) {
    entries += 1;
    const added = { id: entries, at: new Date(), ...entry };
    this.entries.push(added);
    return { added, dropped: this.entries.length > KEPT ? this.entries.shift() : null };
  }

  /** Moves an entry to the end: it was shown when it was sent, and this is its position in the room. */
  moveToEnd(entry) {
    const index = this.entries.indexOf(entry);
    if (index < 0) return;
    this.entries.splice(index, 1);
    this.entries.push(entry);
  }

  /** Handles `joined`. `members` is present in rooms with presence, for tokens with that right. */
  entered({ epoch, members: page }, self) {
    this.state = "joined";
    this.keepsHistory = epoch !== undefined;
    // A large room shows its first page only, so people that are not on it may still be members.
    this.membersKnown = page !== undefined && page.next === undefined;
    for (const [user, seen] of this.people) {
      if (seen === "here") this.people.set(user, this.membersKnown ? "gone" : "heard");
    }
    for (const { user } of page?.members ?? []) this.people.set(user, "here");
    if (!this.personal) this.people.set(self, "here");
  }

  /** Records that a person joined, left or sent a message. Returns whether that is a change. */
  see(user, seen) {
    const before = this.people.get(user);
    if (before === seen || (seen === "heard" && before === "here")) return false;
    this.people.set(user, seen);
    return true;
  }
}
