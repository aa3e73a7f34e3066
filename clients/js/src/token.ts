// The token: how long it lasts, whether it is one, and how it is shown in the way that browsers can.

import { refused } from "./errors.js";

/** @internal Milliseconds until it ends; for ever, for one that cannot be read. Nothing is verified here. */
export const timeLeft = (token: string | undefined): number => {
  try {
    const claims = token!.split(".")[1]!.replace(/-/g, "+").replace(/_/g, "/");
    return JSON.parse(atob(claims)).exp * 1000 - Date.now() || Infinity;
  } catch {
    return token ? Infinity : 0;
  }
};

/** @internal Without the white space around it. Throws what says what else it is, and never the token itself. */
export const checked = (given: unknown): string => {
  const token = typeof given === "string" ? given.trim() : "";
  if (/^[!-~]+$/.test(token)) return token;
  const what = token ? "a text with spaces, perhaps a page" : given ? typeof given : JSON.stringify(given);
  throw refused("bad_token", `getToken returned no token: ${what}`, token ? { retryAfter: 1_000 } : {});
};

/** @internal A browser cannot send an Authorization header with a WebSocket. */
export const subprotocols = (token: string): string[] => [
  "forestay.v1",
  `base64url.bearer.forestay.${btoa(token).replace(/=/g, "").replace(/\+/g, "-").replace(/\//g, "_")}`,
];
