// Many stock Socket.IO clients in one Node. The first line of input is {url, tokens, rooms}; `report` asks for a report.

import { createRequire } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline";

// The package is installed in the folder in which this runs.
const { io } = createRequire(join(process.cwd(), "index.js"))("socket.io-client");

const TRANSPORTS = [["websocket"], ["polling", "websocket"], ["websocket"], ["polling"]];
const say = (event) => console.log(JSON.stringify(event));
let clients = [];

/** One client in one room. It joins once, and again only where it is not recovered. */
function enter(number, { url, tokens, rooms }) {
  const client = { numbers: [], connects: 0, recovered: 0, reasons: [] };
  const socket = io(url, {
    auth: { token: tokens[number] },
    forceNew: true,
    query: { client: `c${number}` },
    transports: TRANSPORTS[number % TRANSPORTS.length],
  });
  client.socket = socket;
  socket.on("message", ({ payload }) => client.numbers.push(payload));
  socket.on("disconnect", (reason) => client.reasons.push(reason));
  socket.on("connect_error", ({ message }) => client.reasons.push(message));
  return new Promise((done) =>
    socket.on("connect", async () => {
      client.connects += 1;
      client.recovered += socket.recovered;
      if (!socket.recovered) await socket.emitWithAck("join-room", rooms[number % rooms.length]);
      done(client);
    }),
  );
}

function report() {
  const lost = ({ numbers }) => numbers.at(-1) - numbers[0] + 1 - new Set(numbers).size;
  const sum = (of) => clients.reduce((total, client) => total + of(client), 0);
  return {
    last: Math.min(...clients.map(({ numbers }) => numbers.at(-1) ?? 0)),
    deaf: sum(({ numbers }) => (numbers.length ? 0 : 1)),
    lost: sum((client) => (client.numbers.length ? lost(client) : 0)),
    repeated: sum(({ numbers }) => numbers.length - new Set(numbers).size),
    disordered: sum(({ numbers }) => numbers.filter((n, at) => at && n < numbers[at - 1]).length),
    connected: sum(({ socket }) => (socket.connected ? 1 : 0)),
    returns: sum(({ connects }) => connects - 1),
    recovered: sum(({ recovered }) => recovered),
    reasons: [...new Set(clients.flatMap(({ reasons }) => reasons))],
  };
}

for await (const line of createInterface({ input: process.stdin })) {
  const given = JSON.parse(line);
  if (given.do === "report") say(report());
  else {
    clients = await Promise.all(given.tokens.map((_, number) => enter(number, given)));
    say({ ready: true });
  }
}
process.exit(0);
