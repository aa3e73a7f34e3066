// On a server there is no window: what is rendered there is what the first render in the browser shows.

import { createElement } from "react";
import { renderToString } from "react-dom/server";
import { expect, test } from "vitest";
import { ForestayProvider, useConnection, usePresence, useRoom } from "../src/react.js";
import { gateway, make } from "./client.js";

function Everything({ name }: { name: string | null }) {
  const { state } = useConnection();
  const room = useRoom(name, { history: 10 });
  const { members, users } = usePresence(name);
  return createElement("p", null, [state, room.state, room.messages.length, members.length, users].join(" "));
}

test("a server renders the first state, and connects to nothing", async () => {
  expect(globalThis.window).toBeUndefined();
  const client = make();
  const page = (name: string | null) =>
    renderToString(createElement(ForestayProvider, { client }, createElement(Everything, { name })));
  expect(page("chat.lobby")).toBe("<p>connecting joining 0 0 0</p>");
  expect(page(null)).toBe("<p>connecting left 0 0 0</p>");
  expect(client.state).toBe("disconnected");
  expect(gateway.handshakes).toBe(0);
});

test("a hook without a provider says what is missing", () => {
  expect(() => renderToString(createElement(Everything, { name: "a" }))).toThrow(
    "no <ForestayProvider> is above this component",
  );
});
