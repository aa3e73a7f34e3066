// Talks to Forestay with nodejs-websocket.

import websocket from "nodejs-websocket";
import { commands, limit, say, subprotocols, token, url } from "./terminal.mjs";

if (Number(limit)) websocket.setMaxBufferLength(Number(limit)); // of all connections
let opened = false;
const extraHeaders = token ? { Authorization: `Bearer ${token}` } : {};
const connection = websocket.connect(url, { protocols: subprotocols, extraHeaders }, () => {
  opened = true;
  say("open");
});

connection.on("text", (text) => say("text", text));
connection.on("binary", async (stream) => {
  const parts = [];
  for await (const part of stream) parts.push(part);
  say("binary", Buffer.concat(parts).toString("hex"));
});
connection.on("error", () => {}); // "close" follows
connection.on("close", (code, reason) => {
  say(opened ? "closed" : "failed", code, reason);
  process.exit();
});

for await (const [word, rest] of commands()) {
  if (word === "text") connection.sendText(rest);
  else if (word === "binary") connection.sendBinary(Buffer.from(rest, "hex"));
  else connection.close(1000);
}
