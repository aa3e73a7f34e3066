// Talks to Forestay with `ws`.

import WebSocket from "ws";
import { commands, limit, say, subprotocols, token, url } from "./terminal.mjs";

const options = { headers: token ? { Authorization: `Bearer ${token}` } : {} };
if (Number(limit)) options.maxPayload = Number(limit);
const socket = new WebSocket(url, subprotocols, options);

socket.on("unexpected-response", async (_request, response) => {
  let body = "";
  for await (const part of response) body += part;
  say("refused", response.statusCode, response.headers["retry-after"] ?? "-", body);
  process.exit();
});
socket.on("error", () => {}); // "close" follows
socket.on("open", () => say("open"));
socket.on("message", (data, isBinary) => {
  if (isBinary) say("binary", data.toString("hex"));
  else say("text", data.toString());
});
socket.on("close", (code, reason) => {
  say("closed", code, reason.toString());
  process.exit();
});

for await (const [word, rest] of commands()) {
  if (word === "text") socket.send(rest);
  else if (word === "binary") socket.send(Buffer.from(rest, "hex"));
  else socket.close(1000);
}
