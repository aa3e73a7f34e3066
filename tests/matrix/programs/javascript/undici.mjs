// Talks to Forestay with undici, whose WebSocket is also that of Node.

import { WebSocket } from "undici";
import { commands, say, subprotocols, token, url } from "./terminal.mjs";

const headers = token ? { Authorization: `Bearer ${token}` } : {};
const socket = new WebSocket(url, { protocols: subprotocols, headers });
socket.binaryType = "arraybuffer";
let opened = false;

socket.onopen = () => {
  opened = true;
  say("open");
};
socket.onmessage = ({ data }) => {
  if (typeof data === "string") say("text", data);
  else say("binary", Buffer.from(data).toString("hex"));
};
socket.onerror = (event) => {
  if (opened) return;
  say("failed", event.message);
  process.exit();
};
socket.onclose = ({ code, reason }) => {
  say("closed", code, reason);
  process.exit();
};

for await (const [word, rest] of commands()) {
  if (word === "text") socket.send(rest);
  else if (word === "binary") socket.send(Buffer.from(rest, "hex"));
  else socket.close(1000);
}
