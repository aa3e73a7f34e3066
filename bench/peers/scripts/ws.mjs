// Node `ws`, as its examples write it: parse the JSON, find the room, send to each member.
import { createServer } from "node:http";
import { WebSocketServer } from "ws";
import { verified } from "./token.mjs";

const [port, secret] = [Number(process.argv[2]), process.argv[3]];
const rooms = new Map();

const wss = new WebSocketServer({ noServer: true, perMessageDeflate: false });
const server = createServer((_, response) => response.writeHead(404).end());
server.on("upgrade", (request, socket, head) => {
  if (!verified(request.headers.authorization, secret)) return socket.end("HTTP/1.1 401 Unauthorized\r\n\r\n");
  wss.handleUpgrade(request, socket, head, (ws) => {
    const joined = new Set();
    ws.on("message", (data) => {
      const said = JSON.parse(data);
      const { room } = said;
      if (said.type === "join") {
        if (!rooms.has(room)) rooms.set(room, new Set());
        rooms.get(room).add(ws);
        joined.add(room);
        ws.send(JSON.stringify({ type: "joined", room }));
      } else if (said.type === "broadcast") {
        const text = JSON.stringify({ type: "broadcast", room, payload: said.payload });
        for (const member of rooms.get(room) ?? []) if (member !== ws || said.echo !== false) member.send(text);
      } else if (said.type === "ping") {
        ws.send(JSON.stringify({ type: "pong", id: said.id }));
      }
    });
    ws.on("error", () => {});
    ws.on("close", () => {
      for (const room of joined) rooms.get(room).delete(ws);
    });
  });
});
server.listen({ port, host: "127.0.0.1", backlog: 4096 });
