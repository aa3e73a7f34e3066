// The address of the gateway, checked before anything is asked of it.

import { refused } from "./errors.js";

/** @internal Throws where no WebSocket can have this address. What is wrong is not repeated, for it may have a token. */
export const addressOf = (url: string | URL): string => {
  try {
    const { href } = new URL(url);
    if (/^wss?:[^#]+$/.test(href)) return href;
  } catch {}
  throw refused("bad_url", "the URL is not like wss://host/ws: it has to begin with ws:// or wss://, and has no #");
};
