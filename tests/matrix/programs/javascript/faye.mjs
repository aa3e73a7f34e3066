// Talks to Forestay with faye-websocket.

import faye from "faye-websocket";
import { commands, limit, say, subprotocols, token, url } from "./terminal.mjs";

const options = { headers: token ? { Authorization: `Bearer ${token}` } : {} };
if (Number(limit)) options.maxLength = Number(limit);
const socket = new faye.Client(url, subprotocols, options);
let opened = false;

socket.on("open", () => {
  opened = true;
  say("open");
});
socket.on("message", ({ data }) => {
  if (typeof data === "string") say("text", data);
  else say("binary", data.toString("hex"));
});
socket.on("error", ({ message }) => {
  if (!opened) say("failed", message); // such as "Unexpected response code: 401"
});
socket.on("close", ({ code, reason }) => {
  if (opened) say("closed", code, reason);
  process.exit();
});

for await (const [word, rest] of commands()) {
  if (word === "text") socket.send(rest);
  else if (word === "binary") socket.send(Buffer.from(rest, "hex"));
  else socket.close(1000);
}
