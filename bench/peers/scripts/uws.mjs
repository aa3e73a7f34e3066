// uWebSockets.js, as its examples write it: check the token in `upgrade`, `ws.subscribe(room)`, `app.publish(room, text)`.
import { verified } from "./token.mjs";

const [port, secret] = [Number(process.argv[2]), process.argv[3]];
const { default: uWS } = await import(process.argv[4]);
// A copy of it falls back to JavaScript where its binary does not fit, and then lacks this.
if (!uWS.getParts) throw new Error("uWebSockets.js has no binary for this machine");

const app = uWS.App();
app
  .ws("/ws", {
    compression: uWS.DISABLED,
    maxPayloadLength: 64 * 1024,
    // As much as ours lets a slow reader have. The crowd of the benches never answers a ping.
    maxBackpressure: 8 * 1024 * 1024,
    idleTimeout: 0,
    sendPingsAutomatically: false,
    upgrade: (response, request, context) => {
      if (!verified(request.getHeader("authorization"), secret)) return response.writeStatus("401 Unauthorized").end();
      response.upgrade(
        {},
        request.getHeader("sec-websocket-key"),
        request.getHeader("sec-websocket-protocol"),
        request.getHeader("sec-websocket-extensions"),
        context,
      );
    },
    message: (ws, data) => {
      const said = JSON.parse(Buffer.from(data));
      const { room } = said;
      if (said.type === "join") {
        ws.subscribe(room);
        ws.send(JSON.stringify({ type: "joined", room }));
      } else if (said.type === "broadcast") {
        const text = JSON.stringify({ type: "broadcast", room, payload: said.payload });
        if (said.echo === false) ws.publish(room, text);
        else app.publish(room, text);
      } else if (said.type === "ping") {
        ws.send(JSON.stringify({ type: "pong", id: said.id }));
      }
    },
  })
  .listen("127.0.0.1", port, (listening) => {
    if (!listening) process.exit(1);
  });
