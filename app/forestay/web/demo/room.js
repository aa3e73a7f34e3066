// One room as this page knows it: what was said in it, and who was seen there.

export const PERSONAL = "@me";

// Of what was said; the oldest go first.
const KEPT = 500;

let entries = 0;

export class Room {
  /** "joining" (asked), "joined", "away" (the connection is gone, the wish is not), "left" (the gateway ended it). */
  state = "joining";
  entries = [];
  /** user → "here", "gone", or "heard" (spoke, which does not need membership). */
  people = new Map();
  /** Whether the gateway told us who is here, or we know only whom we saw. */
  membersKnown = false;
  keepsHistory = false;
  unread = 0;
  /** The client's room, and what ends the listening to it. */
  line = null;
  deafen = () => {};

  constructor(name) {
    this.name = name;
    this.personal = name === PERSONAL;
  }

  /** Add what was said or happened. Gives back the entry, and the one that had to go for it. */
  add(entry) {
    entries += 1;
    const added = { id: entries, at: new Date(), ...entry };
    this.entries.push(added);
    return { added, dropped: this.entries.length > KEPT ? this.entries.shift() : null };
  }

  /** Put an entry last: it was shown when it was sent, but this is where the room heard it. */
  moveToEnd(entry) {
    const index = this.entries.indexOf(entry);
    if (index < 0) return;
    this.entries.splice(index, 1);
    this.entries.push(entry);
  }

  /** What the gateway says on joining; `members` is there in some rooms, for some tokens. */
  entered({ epoch, members: page }, self) {
    this.state = "joined";
    this.keepsHistory = epoch !== undefined;
    // A large room shows its first page only: whoever is not on it may be there all the same.
    this.membersKnown = page !== undefined && page.next === undefined;
    for (const [user, seen] of this.people) {
      if (seen === "here") this.people.set(user, this.membersKnown ? "gone" : "heard");
    }
    for (const { user } of page?.members ?? []) this.people.set(user, "here");
    if (!this.personal) this.people.set(self, "here");
  }

  /** Note that somebody came, went or spoke; whether that is a change. */
  see(user, seen) {
    const before = this.people.get(user);
    if (before === seen || (seen === "heard" && before === "here")) return false;
    this.people.set(user, seen);
    return true;
  }
}
