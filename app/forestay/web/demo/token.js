// Takes the token from the address into this tab's storage, and gives it to the client. It goes nowhere else. The link of
// `serve --dev` has a key in place of a token: with it the gateway gives each tab a token of another person.

const NAMES = ["token", "key"];

// Without storage the page still works, but a reload asks for the token again.
const held = {};

/**
 * Reads the token or the key from the URL's fragment, which browsers send to no server, and removes it from the address
 * bar. Returns whether there was one.
 */
export function takeFromAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  const present = NAMES.filter((name) => given.has(name));
  for (const name of present) set(name, given.get(name).trim());
  if (present.length > 0) history.replaceState(null, "", location.pathname + location.search);
  return present.length > 0;
}

/** Whether the gateway gives tokens to this page. */
export const hasKey = () => get("key") !== "";

/**
 * The token of this tab: the one that it has, else one that the gateway gives for the key. Empty if there is neither.
 * `isRefused`: the one that it has is of no use.
 */
export async function found(isRefused = false) {
  const token = kept();
  const { exp, sub } = claims(token) ?? {};
  const isUseful = token !== "" && !isRefused && !(exp * 1000 < Date.now());
  if (!hasKey() || isUseful) return token;
  const again = sub === undefined ? "" : `?user=${encodeURIComponent(sub)}`;
  const answer = await fetch(`demo/token${again}`, { method: "POST", body: get("key") });
  if (!answer.ok) throw new Error(answer.status === 403 ? await answer.text() : `no token: ${answer.status}`);
  keep(await answer.text());
  return kept();
}

export function keep(token) {
  set("token", token);
}

export function kept() {
  return get("token");
}

function set(name, value) {
  held[name] = value;
  try {
    sessionStorage.setItem(`forestay.${name}`, value);
  } catch {
    // Storage is switched off, so `held` has the value.
  }
}

function get(name) {
  try {
    return sessionStorage.getItem(`forestay.${name}`) ?? held[name] ?? "";
  } catch {
    return held[name] ?? "";
  }
}

/** The token's claims, for display only: they are not verified. `null` if it is not a JWT. */
export function claims(token) {
  try {
    const part = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    const bytes = Uint8Array.from(atob(part), (character) => character.charCodeAt(0));
    const said = JSON.parse(new TextDecoder().decode(bytes));
    return said !== null && typeof said === "object" ? said : null;
  } catch {
    return null;
  }
}

/** The address of this page for another tab: with the key, which makes it another person, else with the same token. */
export function addressOfNext() {
  const name = hasKey() ? "key" : "token";
  return `${location.origin}${location.pathname}#${name}=${encodeURIComponent(get(name))}`;
}
