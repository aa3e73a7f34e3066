// What an operator can do. Each action says first what will happen to how many, and then asks the API for it.

import * as api from "./api.js";
import { plural } from "./parts.js";

const COMES_BACK = "They may connect again: their tokens stay valid.";

/** Publishes to a room of `members` members. */
export function publish(shell, room, members) {
  const whom = members === undefined ? "All members" : plural(members, "member");
  shell.ask({
    title: `Publish to ${room}`,
    effect: `${whom} of ${room} will get this message, as one of a backend. It cannot be taken back.`,
    label: "Publish",
    fields: [{ name: "payload", label: "Payload, as JSON", value: '{"text": ""}', rows: 4 }],
    async run({ payload }) {
      await api.change("POST", api.path("/v1/rooms/{}/messages", room), { payload: parsed(payload) });
      shell.done(`Published to ${room}.`);
    },
  });
}

/** Takes `user` out of `room`: all its connections, or the one with the id `connection`. */
export function remove(shell, room, user, connection) {
  const what = connection === undefined ? `All connections of ${user}` : `The connection ${connection} of ${user}`;
  const query = connection === undefined ? "" : `?connection=${encodeURIComponent(connection)}`;
  shell.ask({
    title: `Remove ${user} from ${room}`,
    effect: `${what} will leave ${room} and be told so. They may join again where their token has the right.`,
    label: "Remove",
    async run() {
      const answer = await api.change("DELETE", api.path("/v1/rooms/{}/members/{}", room, user) + query);
      shell.done(`Removed ${plural(answer.removed, "connection")} of ${user} from ${room}${unless(answer)}`);
    },
  });
}

/** Ends all connections of `user`, of which `number` are known. */
export function disconnect(shell, user, number) {
  shell.ask({
    title: `Disconnect ${user}`,
    effect: `${plural(number, "connection")} of ${user} will end with 4403, on all pods. ${COMES_BACK}`,
    label: "Disconnect",
    async run() {
      const answer = await api.change("DELETE", api.path("/v1/users/{}/connections", user));
      shell.done(`Ended ${plural(answer.ended, "connection")} of ${user}${unless(answer)}`);
    },
  });
}

/** Ends one connection. */
export function disconnectOne(shell, id, user) {
  shell.ask({
    title: `Disconnect ${id}`,
    effect: `One connection of ${user} will end with 4403. It may connect again: its token stays valid.`,
    label: "Disconnect",
    async run() {
      const answer = await api.change("DELETE", api.path("/v1/connections/{}", id));
      shell.done(`Ended ${plural(answer.ended, "connection")}${unless(answer)}`);
    },
  });
}

/** Revokes the tokens of `user`, who has `number` connections. */
export function revoke(shell, user, number) {
  shell.ask({
    title: `Revoke the tokens of ${user}`,
    effect:
      `All tokens that ${user} got until now will be refused for 24 hours, on all pods, and ` +
      `${plural(number, "connection")} will end with 4403. A new token lets ${user} in again. It cannot be undone.`,
    label: "Revoke",
    async run() {
      await api.change("POST", "/v1/revocations", { user });
      shell.done(`Revoked the tokens of ${user}.`);
    },
  });
}

/** Drains `pod`; `others` is how many other pods take connections. */
export function drain(shell, pod, others) {
  shell.ask({
    title: `Drain ${pod.host || pod.pod}`,
    effect:
      `${plural(pod.connections, "connection")} will be asked to move to another pod, and those that stay will end ` +
      `with 1001. ${leftFor(others)} The pod takes no client any more, and no order makes it ready again: delete it ` +
      "when you have looked at it.",
    label: "Drain",
    async run() {
      const answer = await api.change("POST", api.path("/v1/pods/{}/drain", pod.pod));
      shell.done(`${answer.host || answer.pod} drains. The view Drains shows how far it is.`);
    },
  });
}

/** Asks a share of the connections of `pod` to connect elsewhere. */
export function shed(shell, pod, others) {
  shell.ask({
    title: `Shed connections of ${pod.host || pod.pod}`,
    effect:
      `The share below of its ${plural(pod.connections, "connection")} will be asked to connect again, evenly over ` +
      `the seconds below. The load balancer decides where they go. ${leftFor(others)} The pod stays as it is.`,
    label: "Shed",
    fields: [
      { name: "percent", label: "Share, in percent", value: "10" },
      { name: "within", label: "Over how many seconds (0 to 600)", value: "30" },
    ],
    async run({ percent, within }) {
      const body = { share: toNumber(percent, "the share") / 100, within: toNumber(within, "the time") };
      const answer = await api.change("POST", api.path("/v1/pods/{}/shed", pod.pod), body);
      shell.done(`Asked ${plural(answer.asked, "connection")} of ${pod.host || pod.pod} to connect again.`);
    },
  });
}

function leftFor(others) {
  return others === 0 ? "No other pod takes connections now: the clients will find none." : "";
}

function unless({ complete, refused = [] }) {
  const left = refused.length > 0 ? `, and not ${plural(refused.length, "other")}` : "";
  return complete === false ? `${left}. Not every pod answered: look again, and repeat it if need be.` : `${left}.`;
}

function toNumber(text, what) {
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value)) throw new Error(`${what} must be a number`);
  return value;
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`This is no JSON: ${error.message}`);
  }
}
