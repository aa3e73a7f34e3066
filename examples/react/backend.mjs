// The backend of the chat in React: Vite serves the page, and each browser gets tokens in the name of a guest.

import { randomBytes } from "node:crypto";
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";
import jwt from "jsonwebtoken";
import { createServer as createVite } from "vite";

const { PORT, FORESTAY_URL, FORESTAY_JWT_SECRET } = process.env;
// By the id in the cookie. An application of yours has its own log-in here.
const guests = new Map();

// The page finds the gateway in `import.meta.env`, as Vite hands variables to pages. Nothing secret belongs there.
process.env.VITE_FORESTAY_URL = FORESTAY_URL;

/** Who asks: a browser without a cookie is a new guest. */
function guestOf(request, response) {
  const [, known] = request.headers.cookie?.match(/(?:^|; )session=(\w+)/) ?? [];
  if (guests.has(known)) return guests.get(known);
  const session = randomBytes(24).toString("hex");
  guests.set(session, `guest-${randomBytes(3).toString("hex")}`);
  response.setHeader("Set-Cookie", `session=${session}; HttpOnly; SameSite=Strict; Path=/`);
  return guests.get(session);
}

const server = createServer((request, response) => {
  if (request.url !== "/token" || request.method !== "POST") return vite.middlewares(request, response);
  const rights = { rooms: { "chat.*": "rwph" } };
  const token = jwt.sign(rights, FORESTAY_JWT_SECRET, { subject: guestOf(request, response), expiresIn: "10m" });
  response.setHeader("Content-Type", "text/plain").end(token);
});

const vite = await createVite({
  configFile: fileURLToPath(new URL("vite.config.mjs", import.meta.url)),
  server: { middlewareMode: true, hmr: { server } },
});
server.listen(Number(PORT), "127.0.0.1");
process.on("SIGTERM", () => process.exit());
