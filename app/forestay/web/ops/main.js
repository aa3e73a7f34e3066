// Puts the page together: the key, the views that the address names, and the requests for their data.

import * as address from "./address.js";
import * as api from "./api.js";
import { Confirm } from "./confirm.js";
import { byId } from "./dom.js";
import { Gate } from "./gate.js";
import { Notices } from "./notices.js";
import { Poller } from "./poller.js";
import { STORIES, VIEWS } from "./views.js";

// The first answers of some views have no rates yet.
const SOON_MS = 1500;

const gate = new Gate(open);
const confirm = new Confirm();
const notices = new Notices();
const poller = new Poller(refresh, () => view?.seconds ?? 5);
let view = null;

/**
 * What a view gets: `ask` opens the dialog before an action, `done` says what came of it, and `again` asks for the data
 * again. A view has `title`, `about`, `seconds` between two requests, `element`, `load(signal)` and `show(data)`;
 * perhaps `early(data)`, whether to ask again soon, and `leave()`.
 */
const shell = {
  ask: (action) => confirm.ask(action),
  again: () => poller.start(),
  done(text) {
    notices.say(text);
    poller.hurry();
  },
};

function open(key) {
  api.useKey(key);
  gate.close();
  document.body.dataset.state = "open";
  for (const id of ["find", "tabs", "lock", "view"]) byId(id).hidden = false;
  show();
  byId("main").focus();
}

/** Forgets the key and all data. */
function lock(why = "") {
  api.useKey("");
  poller.stop();
  leave();
  confirm.close();
  notices.clear();
  document.body.dataset.state = "locked";
  for (const id of ["find", "tabs", "lock", "view"]) byId(id).hidden = true;
  gate.open(why);
}

/** Shows the view that the address names. */
function show() {
  if (!api.hasKey()) return;
  const named = address.read(location.hash);
  leave();
  notices.clear();
  view = named.about === "" ? maker(VIEWS, named.view)(shell) : story(named);
  byId("view-title").textContent = view.title;
  byId("view-about").textContent = view.about;
  byId("view-body").replaceChildren(view.element);
  document.title = `${view.title} – Forestay operations`;
  for (const tab of byId("tabs").children) {
    if (tab.hash === `#${view.tab ?? named.view}`) tab.setAttribute("aria-current", "page");
    else tab.removeAttribute("aria-current");
  }
  poller.start();
}

/** What makes the view with this name, or the pods where no view has it. */
function maker(makers, name) {
  return Object.hasOwn(makers, name) ? makers[name] : VIEWS.pods;
}

/** A view about one thing. A name that no address can have is said, and the pods are shown. */
function story({ view: kind, about }) {
  try {
    return maker(STORIES, kind)(shell, about);
  } catch (error) {
    if (!(error instanceof api.Problem)) throw error;
    notices.say(error.message);
    return VIEWS.pods(shell);
  }
}

function leave() {
  view?.leave?.();
  view = null;
  byId("view-body").replaceChildren();
}

async function refresh(signal) {
  const mine = view;
  try {
    const data = await mine.load(signal);
    if (mine !== view || signal.aborted) return;
    mine.show(data);
    notices.came(data);
    if (mine.early?.(data)) setTimeout(() => mine === view && poller.hurry(), SOON_MS);
  } catch (error) {
    if (mine !== view || signal.aborted) return;
    if (error.kind === "key") lock(error.message);
    else notices.failed(error.message);
    if (!(error instanceof api.Problem)) throw error;
  }
}

byId("lock").addEventListener("click", () => lock());
byId("find").addEventListener("submit", (event) => {
  event.preventDefault();
  location.hash = address.to(byId("find-kind").value, byId("find-name").value.trim());
});
byId("skip").addEventListener("click", (event) => {
  event.preventDefault();
  byId("main").focus();
});
addEventListener("hashchange", show);
// A page that the browser keeps to come back to would keep the key.
addEventListener("pagehide", () => lock());

gate.open();
