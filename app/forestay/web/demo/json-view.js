// Renders JSON with indentation and colours.

import { element } from "./dom.js";

const TOKEN = /("(?:[^"\\]|\\.)*")(\s*:)?|\b(?:true|false|null)\b|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

export function jsonView(value) {
  const text = JSON.stringify(value, null, 2);
  const parts = [];
  let end = 0;
  for (const match of text.matchAll(TOKEN)) {
    const [whole, string, colon] = match;
    parts.push(text.slice(end, match.index));
    const kind = colon !== undefined ? "key" : string !== undefined ? "string" : "word";
    parts.push(element("span", { class: `json-${kind}`, text: string ?? whole }), colon ?? "");
    end = match.index + whole.length;
  }
  return element("pre", { class: "json" }, ...parts, text.slice(end));
}
