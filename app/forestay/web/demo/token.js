// Takes the token from the address into this tab's storage, and gives it to the client. It goes nowhere else.

const KEPT = "forestay.token";

// Without storage the page still works, but a reload asks for the token again.
let held = "";

/** Reads the token from the URL's fragment, which browsers send to no server, and removes it from the address bar. */
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
    // Storage is switched off, so `held` has the token.
  }
}

export function kept() {
  try {
    return sessionStorage.getItem(KEPT) ?? held;
  } catch {
    return held;
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

/** The address of this page with the token, for another tab. */
export function addressWith(token) {
  return `${location.origin}${location.pathname}#token=${encodeURIComponent(token)}`;
}
