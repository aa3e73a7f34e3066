// Lists the close codes and the statuses of refused handshakes: what each means, and whether the client reconnects. The verdicts come from the client.

import { verdictOf } from "./forestay.js";

const CODES = new Map([
  [400, ["bad handshake", "The gateway could not read the request."]],
  [401, ["token refused", "The gateway refused the token. A new one is needed."]],
  [403, ["page refused", "Pages of this origin may not connect."]],
  [404, ["not found", "There is no gateway at this address."]],
  [503, ["unavailable", "The gateway is full, is leaving, or cannot check tokens just now."]],
  [1000, ["closed", "Either side said goodbye."]],
  [1001, ["going away", "This gateway is leaving, or wants its connections spread anew."]],
  [1002, ["protocol error", "One side did not speak WebSocket."]],
  [1005, ["closed without a code", "The other side closed and gave no reason."]],
  [1006, ["broken off", "The connection ended without a goodbye, or never came about."]],
  [1007, ["not UTF-8", "A text message was not valid text."]],
  [1008, ["policy", "The gateway refuses this client."]],
  [1009, ["too big", "A message was larger than the gateway takes."]],
  [1011, ["internal error", "A bug on the gateway's side cost this connection."]],
  [1012, ["service restart", "Something on the way is restarting."]],
  [1013, ["overloaded", "The gateway has too much to do just now."]],
  [4401, ["token expired", "The token's time is over. A new one is needed."]],
  [4403, ["access revoked", "This user or this token is no longer welcome."]],
  [4408, ["no sign of life", "The gateway's pings were not answered in time."]],
  [4409, ["too many connections", "This user has as many connections as are allowed."]],
  [4413, ["too slow", "This client did not take its messages fast enough."]],
  [4429, ["too fast", "This client kept sending more than is allowed."]],
]);

const UNKNOWN = ["unknown code", "The client does not know the code, so it does not come back by itself."];

export function judge(code) {
  const [name, meaning] = CODES.get(code) ?? UNKNOWN;
  return { verdict: verdictOf(code), name, meaning };
}
