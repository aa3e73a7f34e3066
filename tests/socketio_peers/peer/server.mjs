// A node of the real Socket.IO server with a Redis adapter, whose application does what Forestay does for its clients.
//
// `node server.mjs REDIS_URL SECRET pubsub|streams` prints its port. `POST /emit` and `POST /disconnect` are what a
// backend asks for. On SIGTERM it closes as the documentation says.
import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";
import { createAdapter } from "@socket.io/redis-adapter";
import { createAdapter as createStreamsAdapter } from "@socket.io/redis-streams-adapter";
import { createClient } from "redis";
import { Server } from "socket.io";

const [redisUrl, secret, adapterName] = process.argv.slice(2);
const LIMIT = 65536;
const NAMES = new Set(["/", "/admin"]);

async function adapter() {
  const client = createClient({ url: redisUrl });
  await client.connect();
  if (adapterName === "streams") return createStreamsAdapter(client);
  const subscriber = client.duplicate();
  await subscriber.connect();
  return createAdapter(client, subscriber);
}

function claims(token) {
  const [head, claimed, signature] = String(token ?? "").split(".");
  if (!signature) return;
  const expected = createHmac("sha256", secret).update(`${head}.${claimed}`).digest();
  const given = Buffer.from(signature, "base64url");
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) return;
  const found = JSON.parse(Buffer.from(claimed, "base64url"));
  return found.exp > Date.now() / 1000 ? found : undefined;
}

function allowed(socket, right, room) {
  for (const [pattern, rights] of Object.entries(socket.data.rooms ?? { "**": "rw" }))
    if (pattern === "**" || pattern === room) return rights.includes(right);
  return false;
}

const refusal = (code, message) => ({ ok: false, code, message });

function serve(socket) {
  const { user } = socket.data;
  const named = (room) => typeof room === "string" && room.length > 0;

  socket.on("join-room", (asked, ack = () => {}) => {
    const room = asked?.room ?? asked;
    if (!named(room)) return ack(refusal("invalid_room", "no room has this name"));
    if (!allowed(socket, "r", room)) return ack(refusal("forbidden", "the token does not allow this"));
    socket.join(room);
    socket.to(room).emit("user-joined", { userId: user, room });
    ack({ ok: true, room });
  });

  socket.on("leave-room", (asked, ack = () => {}) => {
    const room = asked?.room ?? asked;
    socket.leave(room);
    socket.to(room).emit("user-left", { userId: user, room });
    ack({ ok: true, room });
  });

  socket.on("message", (said, ack = () => {}) => {
    const { room, payload } = said ?? {};
    if (!named(room)) return ack(refusal("invalid_room", "no room has this name"));
    if (!allowed(socket, "w", room)) return ack(refusal("forbidden", "the token does not allow this"));
    socket.nsp.to(room).emit("message", { from: user, room, payload, timestamp: Date.now() });
    ack({ ok: true });
  });

  // The application's own event: to the room that its first argument names.
  socket.on("chat message", (...args) => {
    const ack = typeof args.at(-1) === "function" ? args.pop() : () => {};
    socket.nsp.to(`chat.${args[0]}`).emit("chat message", ...args);
    ack({ ok: true });
  });

  socket.on("disconnecting", () => {
    for (const room of socket.rooms) if (room !== socket.id) socket.to(room).emit("user-left", { userId: user, room });
  });
}

async function body(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  return JSON.parse(Buffer.concat(parts));
}

const web = createServer(async (request, response) => {
  if (request.url === "/emit") {
    const { room, event, args } = await body(request);
    io.to(room).emit(event, ...args);
  } else if (request.url === "/disconnect") {
    const { user } = await body(request);
    for (const name of NAMES)
      for (const socket of await io.of(name).fetchSockets()) if (socket.data.user === user) socket.disconnect(true);
  }
  response.end();
});

const io = new Server(web, {
  adapter: await adapter(),
  cors: { origin: true },
  maxHttpBufferSize: LIMIT,
  connectionStateRecovery: adapterName === "streams" ? { maxDisconnectionDuration: 120_000 } : undefined,
});
for (const name of NAMES) {
  io.of(name).use((socket, next) => {
    const found = claims(socket.handshake.auth.token ?? socket.handshake.headers.authorization?.replace("Bearer ", ""));
    if (found === undefined)
      return next(Object.assign(new Error("Authentication failed"), { data: { code: "bad_token" } }));
    socket.data.user = found.sub;
    socket.data.rooms = found.rooms;
    next();
  });
  io.of(name).on("connection", serve);
}
process.on("SIGTERM", () => io.close(() => process.exit(0)));
web.listen(0, "127.0.0.1", () => console.log(web.address().port));
