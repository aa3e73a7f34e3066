// One room of the chat: its messages as a list on the page, who is there, and who is typing.

import { UnknownOutcomeError } from "forestay";

/** Messages of before that a page begins with. */
const FIRST = 50;
/** In milliseconds: how long somebody counts as typing, and how often it is told. */
const TYPING = 4000;
const TELL = 2000;

/** Users are called `Ada~1f3c5d`. The gateway says who sent a message, so nobody can write in another name. */
export const nameOf = (user) => user.replace(/~\w+$/, "");

export class Channel {
  people = new Set();
  unread = 0;
  #room;
  #whispers;
  #user;
  #changed;
  #epoch;
  #typing = new Map();
  #lastTold = 0;

  /** `changed` is called after each change but those of the list, which is an element. */
  constructor(client, name, user, changed) {
    this.name = name;
    this.#user = user;
    this.#changed = changed;
    this.list = Object.assign(document.createElement("div"), { role: "log", ariaLabel: `Messages in ${name}` });
    this.list.tabIndex = 0;
    this.#room = client.room(`chat.${name}`);
    this.#room.on("joined", (joined) => this.#enter(joined));
    this.#room.on("resync", () => this.#load());
    this.#room.on("message", (message) => this.#hear(message));
    this.#room.on("user-joined", (news) => this.#note(() => this.people.add(news.user)));
    this.#room.on("user-left", (news) => this.#note(() => this.people.delete(news.user)));
    this.#whispers = client.room(`typing.${name}`);
    this.#whispers.on("message", ({ from }) => this.#types(from));
  }

  /** Who is typing, by name. */
  get typing() {
    return [...this.#typing.keys()].map(nameOf);
  }

  async join() {
    await Promise.all([this.#room.join(), this.#whispers.join()]);
  }

  async leave() {
    await Promise.all([this.#room.leave(), this.#whispers.leave()]);
  }

  /** Rejects where the message was not accepted. If no answer comes, the same key makes it safe to send it again. */
  async say(text) {
    const key = crypto.randomUUID();
    this.#lastTold = 0;
    for (;;) {
      try {
        return await this.#room.publish({ text }, { key });
      } catch (error) {
        if (!(error instanceof UnknownOutcomeError)) throw error;
      }
    }
  }

  /** Tells the others that this user is typing, if it has not just been told. */
  tellTyping() {
    if (Date.now() - this.#lastTold < TELL || this.#whispers.state !== "joined") return;
    this.#lastTold = Date.now();
    // If it fails, nothing is missed.
    this.#whispers.publish(null).catch(() => {});
  }

  /**
   * In the room, for the first time or again. What was missed comes by itself, unless `recovered` says otherwise.
   * `members` is the first page; where more than a hundred are in a room, `room.presence()` has the next ones.
   */
  #enter({ recovered, members }) {
    this.#note(() => {
      this.people = new Set([this.#user, ...members.members.map(({ user }) => user)]);
    });
    if (!recovered) this.#load();
  }

  /** Loads the last messages. Those that came meanwhile are on the page already, and are left where they are. */
  async #load() {
    try {
      const { epoch, messages } = await this.#room.history({ limit: FIRST });
      for (const message of messages) this.#show({ ...message, epoch });
    } catch {
      // The connection is lost. The next `joined` comes back to it.
    }
  }

  #hear(message) {
    this.#show(message);
    this.#note(() => {
      this.#quiet(message.from);
      if (this.list.hidden) this.unread += 1;
    });
  }

  /** Puts a message at its place. In a room with history each has an offset, which grows. */
  #show({ from, payload, timestamp, epoch, offset }) {
    if (epoch !== this.#epoch) {
      // The gateway has begun to count anew: what is here has nothing to do with it.
      this.#epoch = epoch;
      this.list.replaceChildren();
    }
    const before = [...this.list.children].findLast((each) => Number(each.dataset.offset) <= offset);
    if (Number(before?.dataset.offset) === offset) return;
    const atEnd = this.list.scrollHeight - this.list.scrollTop - this.list.clientHeight < 40;
    const item = document.createElement("p");
    item.dataset.offset = offset;
    item.classList.toggle("own", from === this.#user);
    const time = document.createElement("time");
    time.dateTime = timestamp;
    time.textContent = new Date(timestamp).toLocaleTimeString([], { timeStyle: "short" });
    const name = Object.assign(document.createElement("b"), { textContent: nameOf(from) });
    const text = Object.assign(document.createElement("span"), { textContent: payload.text });
    item.append(name, " ", time, " ", text);
    if (before) before.after(item);
    else this.list.prepend(item);
    if (atEnd) this.list.scrollTop = this.list.scrollHeight;
  }

  #types(user) {
    this.#note(() => {
      clearTimeout(this.#typing.get(user));
      this.#typing.set(
        user,
        setTimeout(() => this.#note(() => this.#quiet(user)), TYPING),
      );
    });
  }

  #quiet(user) {
    clearTimeout(this.#typing.get(user));
    this.#typing.delete(user);
  }

  #note(change) {
    change();
    this.#changed();
  }
}
