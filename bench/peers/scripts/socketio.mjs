// Node's `socket.io` as its documentation writes it: a middleware that checks the token, rooms, and `io.to(room).emit`.
import { createServer } from "node:http";
import { Server } from "socket.io";
import { verified } from "./token.mjs";

const [port, secret] = [Number(process.argv[2]), process.argv[3]];

const server = createServer();
// The crowd of the benches never answers a ping.
const io = new Server(server, { pingInterval: 3_600_000 });
if (process.env.BENCH_REDIS) {
  const { createClient } = await import("redis");
  const { createAdapter } = await import("@socket.io/redis-adapter");
  const publisher = createClient({ url: process.env.BENCH_REDIS });
  const subscriber = publisher.duplicate();
  await Promise.all([publisher.connect(), subscriber.connect()]);
  io.adapter(createAdapter(publisher, subscriber));
}
io.use((socket, next) => {
  next(verified(socket.handshake.auth.token, secret) ? undefined : new Error("Authentication failed"));
});
io.on("connection", (socket) => {
  socket.on("join-room", (room, ack) => {
    socket.join(room);
    ack({ ok: true });
  });
  socket.on("message", ({ room, payload }) => io.to(room).emit("message", { room, payload }));
});
server.listen({ port, host: "127.0.0.1", backlog: 4096 });
