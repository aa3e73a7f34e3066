// The address of the gateway, checked before anything is asked of it.

import { refused } from "./errors.js";

/** @internal Throws where no WebSocket can have this address. What is wrong is not repeated, for it may have a token. */
export const addressOf = (url: string | URL): string => {
  try {
    const { href } = new URL(url);
    if (/^wss?:[^#]+$/.test(href)) return href;
  } catch {}
  throw refused("bad_url", "the URL has to be like wss://host/ws or ws://host/ws, without #");
};
