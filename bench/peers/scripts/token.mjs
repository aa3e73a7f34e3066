// Checks the token of a client, for the servers of Node: HS256 and the time of expiry.
import { createHmac, timingSafeEqual } from "node:crypto";

// `given`: the token, or a header with it.
export function verified(given, secret) {
  const [head, body, signature] = String(given ?? "")
    .replace("Bearer ", "")
    .split(".");
  if (!signature) return false;
  const expected = createHmac("sha256", secret).update(`${head}.${body}`).digest();
  const shown = Buffer.from(signature, "base64url");
  if (shown.length !== expected.length || !timingSafeEqual(shown, expected)) return false;
  return JSON.parse(Buffer.from(body, "base64url")).exp > Date.now() / 1000;
}
