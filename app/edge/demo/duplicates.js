// While two sockets are open for one client, most messages arrive on both; each is to be told once.

export class Duplicates {
  #heard = new Map();
  #told = new Map();

  /**
   * Whether `content`, heard on `socket`, is news. The same content twice on one socket is two messages; once on each
   * is one. The gateway's pods write a message in the same bytes, timestamp included, so equal means the same.
   */
  isNew(socket, content) {
    const counts = this.#heard.get(socket) ?? new Map();
    this.#heard.set(socket, counts);
    const count = (counts.get(content) ?? 0) + 1;
    counts.set(content, count);
    if (count <= (this.#told.get(content) ?? 0)) return false;
    this.#told.set(content, count);
    return true;
  }
}
