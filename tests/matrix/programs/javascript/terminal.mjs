// Commands come as lines on standard input, and what happens goes out as lines on standard output.

import { createInterface } from "node:readline";

export const say = (...words) => console.log(words.join(" "));

/** `text MESSAGE`, `binary HEX` and `close`. */
export async function* commands() {
  for await (const line of createInterface({ input: process.stdin })) {
    const space = line.indexOf(" ");
    yield space < 0 ? [line, ""] : [line.slice(0, space), line.slice(space + 1)];
  }
}

export const [url, token, limit, ...subprotocols] = process.argv.slice(2);
