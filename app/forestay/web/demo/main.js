// Puts the page together: the client, its rooms, and the views.

import { Banner } from "./banner.js";
import { judge } from "./closes.js";
import { Composer } from "./composer.js";
import { byId } from "./dom.js";
import { Facts } from "./facts.js";
import { FrameLog } from "./frame-log.js";
import { Line } from "./line.js";
import { People } from "./people.js";
import { RoomList } from "./room-list.js";
import { Rooms } from "./rooms.js";
import { StateView } from "./state-view.js";
import { Stay } from "./stay.js";
import { Talk } from "./talk.js";
import * as token from "./token.js";
import { TokenDialog } from "./token-dialog.js";
import { milliseconds } from "./words.js";

const FIRST_ROOM = "chat.lobby";
const BANNER_SECONDS = 8;
const SHOW_MS = 50;
const RENEWAL_PAUSE_MS = 10_000;

const banner = new Banner();
const facts = new Facts();
const frameLog = new FrameLog();
const people = new People();
const stay = new Stay();
let limit;
let showing = 0;
let renewableAt = 0;

const line = new Line(new URL("ws", document.baseURI).href.replace(/^http/, "ws"), {
  state: changeState,
  measured: (ms) => [stateView, facts].forEach((view) => view.measured(ms)),
  moved() {
    banner.show("Moved. The old connection stayed until the new one was there.", { seconds: BANNER_SECONDS });
  },
  frame(frame) {
    frameLog.add(frame);
    stay.run(frame);
    const { type, payload } = frame.json ?? {};
    if (type === "welcome") welcomed(payload);
    else if (type === "reconnect") announced(payload);
  },
});

const rooms = new Rooms({
  rooms: showRoomsSoon,
  people: (room) => room === rooms.current && people.show(room, rooms.user),
  entry: (room, entry, dropped) => talk.added(room, entry, dropped),
  changed: (entry) => talk.changed(entry),
  moved: (room, entry) => talk.moved(room, entry),
  refused: (name, error) => roomList.refused(name, error),
  lost: (error) => banner.show(error.message, { tone: "warning", seconds: BANNER_SECONDS }),
});

const stateView = new StateView({
  cut: () => line.cut(),
  connect: () => (line.client === null ? askForToken() : line.client.connect()),
  disconnect: () => line.client.disconnect(),
});
const roomList = new RoomList({
  join: (name) => rooms.join(name),
  select(name) {
    rooms.select(name);
    showView("talk");
  },
});
const talk = new Talk({
  leave: (name) => rooms.leave(name),
  secondTab: () => open(token.addressOfNext(), "_blank", "noopener"),
});
const composer = new Composer({
  say: (room, text) => rooms.say(room, text),
  bind: (room, number) => rooms.bind(room, number),
  binary: (room, number, bytes) => rooms.sendBinary(room, number, bytes),
});
const tokenDialog = new TokenDialog({ use: useToken });

/** Called for each connection; the next one opens while the previous one is still open. */
function welcomed(payload) {
  limit = payload.limits?.message_bytes;
  facts.welcomed(payload);
  stay.ends(payload.user, payload.connection);
}

function announced({ reason, after_ms: after }) {
  banner.show(`This gateway closes soon (${reason}). The next connection opens in ${milliseconds(after)}.`);
}

function changeState(state) {
  stateView.show(state);
  if (state.close) facts.closed(state.close);
  if (state.name === "connected") {
    if (rooms.all.size === 0) rooms.join(FIRST_ROOM);
  } else {
    stay.ends(rooms.user, null);
    rooms.disconnected();
  }
  showRooms();
  tell(state);
}

/** The banner's text for a new state. */
function tell(state) {
  if (state.name === "connecting") return;
  const { close } = state;
  if (!close || close.byHand) return banner.hide();
  const { meaning } = judge(close.code);
  const newToken = { label: "New token", run: () => renew() };
  if (state.name === "waiting" && close.code === 1006 && !state.opened) {
    // A browser does not tell a page why a handshake failed.
    const text = "No connection came about: the gateway cannot be reached, or it refused the token.";
    banner.show(text, { tone: "warning", action: newToken });
  } else if (state.name === "waiting") {
    banner.show(meaning);
  } else {
    const reason = close.reason ? ` “${close.reason}”` : "";
    banner.show(`${close.code}${reason}: ${meaning}`, { tone: "warning", action: state.needsToken ? newToken : null });
    if (state.needsToken) renew(meaning);
  }
}

function showRooms() {
  const room = rooms.current;
  roomList.show(rooms, line.state.name === "connected");
  talk.show(room);
  people.show(room, rooms.user);
  composer.show(room, rooms.bindings, limit);
}

/** Batches updates of the room list, because each message in another room changes its unread count. */
function showRoomsSoon() {
  if (showing === 0)
    showing = setTimeout(() => {
      showing = 0;
      showRooms();
    }, SHOW_MS);
}

function askForToken(why) {
  tokenDialog.open(token.kept(), why);
}

/** Uses the token of this tab, or asks the user for one. `isRefused`: the one that it has is of no use. */
async function begin(isRefused = false) {
  try {
    const text = await token.found(isRefused);
    if (text) useToken(text);
    else askForToken("The gateway needs a token.");
  } catch (error) {
    banner.show(error.message, { tone: "warning", action: { label: "Token", run: () => askForToken() } });
  }
}

/** After a token was refused: gets another one where the gateway gives them, but not again and again. */
function renew(why) {
  const now = performance.now();
  if (!token.hasKey() || now < renewableAt) return askForToken(why);
  renewableAt = now + RENEWAL_PAUSE_MS;
  begin(true);
}

function useToken(text) {
  token.keep(text);
  rooms.attach(line.use(text));
  line.client.connect();
}

function showView(name) {
  document.body.dataset.view = name;
  for (const button of document.querySelectorAll("[data-shows]")) {
    if (button.dataset.shows === name) button.setAttribute("aria-current", "page");
    else button.removeAttribute("aria-current");
  }
}

for (const button of document.querySelectorAll("[data-shows]")) {
  button.addEventListener("click", () => showView(button.dataset.shows));
}
// On a phone the field may be in a part of the page that is not shown.
byId("skip").addEventListener("click", () => showView("talk"));
byId("token-open").addEventListener("click", () => askForToken());
// Opening the printed link in a tab with this page changes only the fragment, and loads nothing.
addEventListener("hashchange", () => token.takeFromAddress() && begin());

token.takeFromAddress();
stateView.show(line.state);
showRooms();
begin();
