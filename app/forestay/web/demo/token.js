// The token: out of the address, into this tab's memory, and to the client. It goes nowhere else.

const KEPT = "forestay.token";

// A page that may not store anything still works; a reload then asks for the token again.
let held = "";

/** The token in the URL's fragment, which no browser sends to a server; it leaves the address bar at once. */
export function takeFromAddress() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given === null) return false;
  history.replaceState(null, "", location.pathname + location.search);
  keep(given.trim());
  return true;
}

export function keep(token) {
  held = token;
  try {
    sessionStorage.setItem(KEPT, token);
  } catch {
    // Storage is switched off: `held` has it.
  }
}

export function kept() {
  try {
    return sessionStorage.getItem(KEPT) ?? held;
  } catch {
    return held;
  }
}

/** What the token says about itself, for showing only: nobody has checked it here. `null` if it is not a JWT. */
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

/** The address of this page for another tab, token included, as the launcher prints it. */
export function addressWith(token) {
  return `${location.origin}${location.pathname}#token=${encodeURIComponent(token)}`;
}
