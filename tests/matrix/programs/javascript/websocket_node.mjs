// Talks to Forestay with the package `websocket`.

import websocket from "websocket";
import { commands, limit, say, subprotocols, token, url } from "./terminal.mjs";

const options = Number(limit) ? { maxReceivedMessageSize: Number(limit), maxReceivedFrameSize: Number(limit) } : {};
const client = new websocket.client(options);
let connection;

client.on("httpResponse", async (response) => {
  let body = "";
  for await (const part of response) body += part;
  say("refused", response.statusCode, response.headers["retry-after"] ?? "-", body);
  process.exit();
});
client.on("connectFailed", (error) => say("failed", error.message.split("\n")[0]));
client.on("connect", (opened) => {
  connection = opened;
  say("open");
  connection.on("message", (message) => {
    if (message.type === "utf8") say("text", message.utf8Data);
    else say("binary", message.binaryData.toString("hex"));
  });
  connection.on("error", () => {}); // "close" follows
  connection.on("close", (code, reason) => {
    say("closed", code, reason);
    process.exit();
  });
});
client.connect(url, subprotocols, undefined, token ? { Authorization: `Bearer ${token}` } : {});

for await (const [word, rest] of commands()) {
  if (word === "text") connection.sendUTF(rest);
  else if (word === "binary") connection.sendBytes(Buffer.from(rest, "hex"));
  else connection.close(1000);
}
