// The views by the name that the fragment of the address has.

import { ClosesView } from "./closes-view.js";
import { ConnectionView } from "./connection-view.js";
import { DrainsView } from "./drains-view.js";
import { PodsView } from "./pods-view.js";
import { gapsView, refusedView } from "./recent-view.js";
import { RoomView } from "./room-view.js";
import { RoomsView } from "./rooms-view.js";
import { SlowView } from "./slow-view.js";
import { UserView } from "./user-view.js";
import { WebhooksView } from "./webhooks-view.js";

/** Each makes a view: `(shell) => view`. */
export const VIEWS = {
  pods: (shell) => new PodsView(shell),
  rooms: (shell) => new RoomsView(shell),
  slow: (shell) => new SlowView(shell),
  closes: (shell) => new ClosesView(shell),
  gaps: () => gapsView(),
  refused: () => refusedView(),
  drains: () => new DrainsView(),
  webhooks: (shell) => new WebhooksView(shell),
};

/** Each makes a view about one thing: `(shell, name) => view`. */
export const STORIES = {
  user: (shell, user) => new UserView(shell, user),
  connection: (shell, id) => new ConnectionView(shell, id),
  room: (shell, room) => new RoomView(shell, room),
};
