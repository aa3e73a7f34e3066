// Many clients of the JavaScript SDK in one process: what bench/swarm.py is for Python, with the same lines.

import { createInterface } from "node:readline";
import { Client } from "../../clients/js/dist/index.js";

const PHASES = 4;
let phase = 0;
let connected = 0;
let listeners = [];

class Listener {
  numbers = [];
  changes = 0;
  gaps = new Array(PHASES).fill(0);
  last = 0;

  constructor(url, token, room) {
    this.client = new Client(url, { getToken: () => token });
    this.room = this.client.room(room);
    this.room.on("message", ({ payload }) => this.hear(payload.n));
  }

  async enter() {
    this.client.connect();
    await this.client.ready();
    await this.room.join();
    this.client.on("state", ({ state }) => {
      this.changes += 1;
      connected += { connected: 1, connecting: -1 }[state] ?? 0;
    });
  }

  hear(number) {
    const now = performance.now() / 1000;
    if (this.last) this.gaps[phase] = Math.max(this.gaps[phase], now - this.last);
    this.last = now;
    this.numbers.push(number);
  }
}

/** Come in, fifty at a time. */
async function enter({ url, tokens, rooms }) {
  listeners = tokens.map((token, number) => new Listener(url, token, rooms[number % rooms.length]));
  const waiting = [...listeners];
  const one = async () => {
    for (let next = waiting.pop(); next; next = waiting.pop()) await next.enter();
  };
  await Promise.all(Array.from({ length: 50 }, one));
  connected = listeners.length;
}

const sum = (values) => values.reduce((total, value) => total + value, 0);

function report() {
  const heard = listeners.map(({ numbers }) => numbers).filter(({ length }) => length);
  const range = (numbers) => numbers.reduce(([a, b], n) => [Math.min(a, n), Math.max(b, n)], [Infinity, -Infinity]);
  return {
    last: heard.length ? Math.min(...heard.map((numbers) => numbers.at(-1))) : 0,
    lost: sum(
      heard.map((numbers) => {
        const [least, most] = range(numbers);
        return most - least + 1 - new Set(numbers).size;
      }),
    ),
    deaf: listeners.length - heard.length,
    repeated: sum(heard.map((numbers) => numbers.length - new Set(numbers).size)),
    disordered: sum(heard.map((numbers) => numbers.filter((n, at) => at && n < numbers[at - 1]).length)),
    changes: sum(listeners.map(({ changes }) => changes)),
    connected,
    gaps: Array.from({ length: PHASES }, (_, at) => Math.max(...listeners.map(({ gaps }) => gaps[at]))),
  };
}

const say = (event) => process.stdout.write(`${JSON.stringify(event)}\n`);

for await (const line of createInterface({ input: process.stdin })) {
  const given = JSON.parse(line);
  if (given.do === "phase") phase += 1;
  else if (given.do === "report") say(report());
  else {
    await enter(given);
    say({ ready: true });
  }
}
process.exit(0);
