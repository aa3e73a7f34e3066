// Renders one entry of a room, a message or an event, as an element. Text from users is inserted as text.

import { element } from "./dom.js";
import { personFlag } from "./flag.js";
import { count, hexDump, milliseconds, time } from "./words.js";

const DELIVERY = {
  sending: ["○", "sending"],
  sent: ["○", "sent"],
  accepted: ["✓", "accepted"],
  heard: ["✓✓", "in order for all"],
  refused: ["✕", "refused"],
  unknown: ["?", "may or may not have arrived"],
};

export function entryView(entry, previous) {
  if (entry.kind === "note") return note(entry);
  if (entry.kind === "error") return note({ ...entry, tone: "error", text: errorText(entry.error) });
  const same = previous?.kind !== "note" && previous?.kind !== "error" && previous?.from === entry.from;
  const soon = previous !== null && time(previous.at) === time(entry.at);
  const follows = soon && same && Boolean(previous.own) === Boolean(entry.own);
  return element(
    "li",
    {
      class: "entry",
      "data-own": Boolean(entry.own),
      "data-kind": entry.kind,
      "data-state": entry.state,
      "data-follows": follows,
    },
    follows ? null : sender(entry),
    entry.kind === "binary" ? binary(entry) : element("div", { class: "bubble", dir: "auto" }, body(entry)),
    footer(entry),
  );
}

/** Updates the state of an entry, without announcing it to screen readers as a new one. */
export function refreshEntry(view, entry) {
  view.dataset.state = entry.state;
  view.querySelector(".footer")?.replaceWith(footer(entry));
}

function sender(entry) {
  if (entry.kind === "binary" && entry.from === undefined) {
    return element("p", { class: "sender" }, element("span", { text: "somebody" }), when(entry));
  }
  const name = entry.from ?? "a backend";
  const words = entry.own ? "you" : entry.elsewhere ? `${name} · you, elsewhere` : name;
  return element("p", { class: "sender" }, personFlag(name), element("span", { text: words }), when(entry));
}

function when({ at }) {
  const known = !Number.isNaN(at.getTime());
  return known ? element("time", { datetime: at.toISOString(), text: time(at) }) : null;
}

function body(entry) {
  if (entry.text !== undefined) return element("p", { text: entry.text });
  return element("pre", { text: JSON.stringify(entry.json, null, 2) });
}

function binary(entry) {
  const more = entry.size > entry.head.length ? `\n… ${count(entry.size - entry.head.length)} more bytes` : "";
  return element(
    "div",
    { class: "bubble binary" },
    element(
      "p",
      { class: "binary-head" },
      element("span", { text: `type ${entry.number}` }),
      element("span", { text: `${count(entry.size)} ${entry.size === 1 ? "byte" : "bytes"}` }),
    ),
    entry.size > 0
      ? element("pre", { tabindex: "0", role: "group", "aria-label": "Bytes", text: hexDump(entry.head) + more })
      : null,
    entry.unsure
      ? element("p", { class: "hint", text: "A binary frame names no room; its type is bound to none here." })
      : null,
  );
}

function footer(entry) {
  if (!entry.own) return null;
  // Only a refusal interrupts a screen reader.
  return element("p", { class: "footer", "aria-live": entry.error ? "polite" : "off" }, ...delivery(entry));
}

function delivery(entry) {
  if (entry.error) return [element("span", { class: "entry-error", text: errorText(entry.error) })];
  const [mark, words] = DELIVERY[entry.state];
  const told = entry.state === "unknown" ? words : entry.took === undefined ? "" : milliseconds(entry.took);
  return [
    element("span", { class: "delivery", title: words, "aria-hidden": "true", text: `${mark} ${told}` }),
    element("span", { class: "unseen", text: words }),
  ];
}

function note(entry) {
  return element(
    "li",
    { class: "note", "data-tone": entry.tone },
    entry.user === undefined ? null : personFlag(entry.user),
    entry.user === undefined ? null : element("b", { text: entry.user }),
    element("span", { text: entry.text }),
    when(entry),
  );
}

function errorText({ code, message, retryAfter: wait }) {
  const again = wait ? ` Try again in ${milliseconds(wait)}.` : "";
  return `${message ?? "refused"} (${code}).${again}`;
}
