// A receiver of webhooks: verifies each request with the library of npm, and prints what it got as a line of JSON.
// The first line is the port. It ends with its standard input. Arguments: the secret, and one that the gateway does not have.
import { createServer } from "node:http";
import { Webhook } from "standardwebhooks";

const [secret, other] = process.argv.slice(2);

function verified(key, body, headers) {
  try {
    return new Webhook(key).verify(body, headers);
  } catch {
    return null;
  }
}

const server = createServer(async (request, response) => {
  const parts = [];
  for await (const part of request) {
    parts.push(part);
  }
  const body = Buffer.concat(parts).toString("utf-8");
  const event = verified(secret, body, request.headers);
  const forged = verified(other, body, request.headers) ?? verified(secret, `${body} `, request.headers);
  response.writeHead(event === null ? 401 : 204).end();
  console.log(JSON.stringify({ event, forged }));
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
process.stdin.on("end", () => process.exit()).resume();
