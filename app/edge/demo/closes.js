// Every close code: what it means, and whether to come back. One verdict per code, no ranges.

export const RETURN = "return";
export const NEW_TOKEN = "new token";
export const STOP = "stop";

/** This page's own code for a connection that was cut on purpose, or that no longer answered. */
export const CUT = 4000;

const CODES = new Map([
  [1000, [STOP, "closed", "Either side said goodbye."]],
  [1001, [RETURN, "going away", "This gateway is leaving, or wants its connections spread anew."]],
  [1002, [STOP, "protocol error", "One side did not speak WebSocket."]],
  [1005, [STOP, "closed without a code", "The other side closed and gave no reason."]],
  [1006, [RETURN, "broken off", "The connection ended without a goodbye, or never came about."]],
  [1007, [STOP, "not UTF-8", "A text message was not valid text."]],
  [1008, [STOP, "policy", "The gateway refuses this client."]],
  [1009, [STOP, "too big", "A message was larger than the gateway takes."]],
  [1011, [RETURN, "internal error", "A bug on the gateway's side cost this connection."]],
  [1012, [RETURN, "service restart", "Something on the way is restarting."]],
  [1013, [RETURN, "overloaded", "The gateway has too much to do just now."]],
  [CUT, [RETURN, "cut here", "This page dropped the connection itself."]],
  [4401, [NEW_TOKEN, "token expired", "The token's time is over. A new one is needed."]],
  [4403, [STOP, "access revoked", "This user or this token is no longer welcome."]],
  [4408, [RETURN, "no sign of life", "The gateway's pings were not answered in time."]],
  [4409, [STOP, "too many connections", "This user has as many connections as are allowed."]],
  [4413, [RETURN, "too slow", "This client did not take its messages fast enough."]],
  [4429, [RETURN, "too fast", "This client kept sending more than is allowed."]],
]);

const UNKNOWN = [STOP, "unknown code", "This page does not know the code, so it does not come back by itself."];

export function judge(code) {
  const [verdict, name, meaning] = CODES.get(code) ?? UNKNOWN;
  return { verdict, name, meaning };
}
