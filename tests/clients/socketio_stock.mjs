// Several stock Socket.IO clients in one Node, told what to do by lines of JSON, which tell what happens to them.

import { createRequire } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline";

// The package is installed in the folder in which this runs.
const { io } = createRequire(join(process.cwd(), "index.js"))("socket.io-client");

const sockets = new Map();
const pack = (_, value) => (value?.type === "Buffer" ? { base64: Buffer.from(value.data).toString("base64") } : value);
const unpack = (_, value) => (value?.base64 !== undefined ? Buffer.from(value.base64, "base64") : value);
const tell = (name, kind, fields) => console.log(JSON.stringify({ name, kind, ...fields }, pack));

const follow = (name, socket) => {
  sockets.set(name, socket);
  socket.on("connect", () => {
    const { name: transport } = socket.io.engine.transport;
    tell(name, "connect", { sid: socket.id, recovered: socket.recovered, transport });
  });
  socket.on("disconnect", (reason) => tell(name, "disconnect", { reason, active: socket.active }));
  socket.on("connect_error", ({ message, data }) =>
    tell(name, "connect_error", { message, data, active: socket.active }),
  );
  socket.onAny((event, ...args) => event.startsWith("forestay:") || tell(name, "event", { event, args }));
};

const commands = {
  open({ name, url, tokens, ...options }) {
    // Each attempt takes the next token; the last one stays.
    const auth = (answer) => answer({ token: tokens.length > 1 ? tokens.shift() : tokens[0] });
    const quick = { reconnectionDelay: 100, reconnectionDelayMax: 300, randomizationFactor: 0.5 };
    const socket = io(url, { forceNew: true, ...quick, ...options, auth });
    socket.io.engine?.on?.("upgrade", ({ name: transport }) => tell(name, "upgrade", { transport }));
    follow(name, socket);
  },
  namespace({ name, of, path, token }) {
    follow(name, sockets.get(of).io.socket(path, { auth: { token } }));
    sockets.get(name).connect();
  },
  async ask({ name, event, args }) {
    const answer = await sockets
      .get(name)
      .timeout(10_000)
      .emitWithAck(event, ...args);
    tell(name, "ack", { answer });
  },
  emit({ name, event, args }) {
    sockets.get(name).emit(event, ...args);
  },
  close({ name }) {
    sockets.get(name).disconnect();
  },
};

createInterface({ input: process.stdin })
  .on("line", (line) => {
    const { do: verb, ...fields } = JSON.parse(line, unpack);
    commands[verb](fields);
  })
  .on("close", () => process.exit(0));
