// Talks to Forestay with the WebSocket of Node, Deno or Bun. Unlike a browser's it takes headers.

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
  if (opened) return; // onclose follows
  say("failed", event.message ?? ""); // in Node 22 onclose does not follow
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
