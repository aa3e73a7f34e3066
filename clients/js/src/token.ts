// The token: how long it lasts, and how it is shown in the way that browsers can.

/** @internal Milliseconds until it ends; for ever, for one that cannot be read. Nothing is verified here. */
export const timeLeft = (token: string | undefined): number => {
  try {
    const claims = token!.split(".")[1]!.replace(/-/g, "+").replace(/_/g, "/");
    return JSON.parse(atob(claims)).exp * 1000 - Date.now() || Infinity;
  } catch {
    return token ? Infinity : 0;
  }
};

/**
 * @internal A browser cannot send an Authorization header with a WebSocket. The letters of a JWT are such that base64
 * has no `+` and no `/` in it, so that without its padding it is base64url.
 */
export const subprotocols = (token: string): string[] => [
  "forestay.v1",
  // biome-ignore lint/style/useTemplate: what is built is shorter like this.
  "base64url.bearer.forestay." + btoa(token).replace(/=/g, ""),
];
