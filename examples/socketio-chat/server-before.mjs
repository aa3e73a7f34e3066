// The server of the chat before the move: Node and `socket.io`. It serves the same page, with the same client.
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { Server } from "socket.io";

const page = new URL("page/", import.meta.url);
const files = { "/": "index.html", "/client.js": "client.js", "/style.css": "style.css" };
const types = { html: "text/html", js: "text/javascript", css: "text/css" };

const server = createServer(async (request, response) => {
  const file = files[request.url];
  if (file === undefined) {
    response.writeHead(404).end();
    return;
  }
  response.writeHead(200, { "content-type": types[file.split(".").pop()] });
  response.end(await readFile(new URL(file, page)));
});

const io = new Server(server, { connectionStateRecovery: { maxDisconnectionDuration: 120_000 } });

io.on("connection", (socket) => {
  socket.on("join-room", (room, acknowledge) => {
    socket.join(room);
    socket.to(room).emit("user-joined", { userId: socket.id, room });
    acknowledge?.({ ok: true });
  });
  socket.on("leave-room", (room) => {
    socket.leave(room);
  });
  socket.on("chat message", (message) => {
    io.to(message.room).emit("chat message", message);
  });
  socket.on("typing", (who) => {
    socket.to(who.room).emit("typing", who);
  });
});

server.listen(Number(process.env.PORT ?? 3000), "127.0.0.1", () => {
  console.log(`http://127.0.0.1:${server.address().port}/`);
});
