// Reads which view the fragment of the address names: `#pods`, or `#user=alice` for a view about one thing.

/** `{ view, about }` of a fragment. A view that is about nothing has `about: ""`. */
export function read(fragment) {
  const text = fragment.replace(/^#/, "");
  const sign = text.indexOf("=");
  if (sign < 0) return { view: text || "pods", about: "" };
  return { view: text.slice(0, sign), about: decoded(text.slice(sign + 1)) };
}

/** The fragment of a view about one thing. */
export function to(view, about) {
  return `#${view}=${encodeURIComponent(about)}`;
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
