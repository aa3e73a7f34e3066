// What is behind a client: its rooms, its requests, and the one connection or two that they are on.

import { addressOf } from "./address.js";
import type { Client, ClientState } from "./client.js";
import { verdictOf } from "./codes.js";
import { type Connection, type Ending, type Owner, openConnection } from "./connection.js";
import { END } from "./emitter.js";
import { DisconnectedError, RefusedError, refused, refusedBy } from "./errors.js";
import type { Frame } from "./frames.js";
import { joinedOn, joinOn, leaveOn } from "./membership.js";
import { type Move, makeMove } from "./move.js";
import {
  type ClientOptions,
  DEFAULTS,
  LEAST_WINDOW,
  LONGEST_TIMER,
  NEARLY_OVER,
  PAUSE,
  STEADY,
  type Transport,
} from "./options.js";
import { watchPage } from "./page.js";
import { type Answer, makeRequests } from "./requests.js";
import { type Joined, Room, type Session } from "./room.js";
import { makeTimer } from "./timer.js";
import { checked, timeLeft } from "./token.js";

const failureOf = (ending: Ending = {}, code: number | string | undefined = ending.code): DisconnectedError => {
  const words = ["disconnected", code, ending.reason].filter(Boolean);
  return new DisconnectedError(words.join(" "), { ...ending, code });
};

/** @internal */
export const makeSession = (client: Client, address: string | URL, given: ClientOptions): Session => {
  const url = addressOf(address);
  const options = { ...DEFAULTS, WebSocket: globalThis.WebSocket as unknown, ...given };
  const other = given.transports?.find((transport) => transport !== "websocket");
  // What has no `call` is no transport, and no WebSocket class.
  if (other) options.WebSocket = (other as Transport).call?.(0, options) ?? other;
  const requests = makeRequests(options);
  const rooms = new Map<string, Room<any>>();
  const bindings = new Map<number, Room<any>>();
  /** Where rooms are joined: on the present connection, and on the next one as soon as it can be. */
  const living = new Set<Connection>();
  const renewal = makeTimer();
  const steady = makeTimer();
  const waiting = makeTimer();
  let current: Connection | undefined;
  let move: Move | undefined;
  /** Counts what was begun and given up: whatever comes back from an older run is not wanted any more. */
  let run = 0;
  /** Returns that came to nothing. */
  let failures = 0;
  /** Milliseconds: the first window to come back in; `welcome` says how long it is. */
  let spread = 2_000;
  /** The one to connect with. */
  let token: string | undefined;
  let asked: Promise<string> | undefined;
  /** Whether a token was refused, and none has proved good since. */
  let wasRefused = false;
  let unwatch: () => void;

  // Rooms

  const wanted = () => [...rooms.values()].filter(({ _wanted }) => _wanted);

  const joined = (connection: Connection, room: Room<any>, payload: Joined): void => {
    // While two connections have the room, only what the application does not know yet is said.
    const isPresent = connection === current;
    if (room.state !== "joined" || (!isPresent && !payload.recovered && payload.epoch)) {
      // Of another epoch, or with a gap: from now on the old connection has no say.
      if (!isPresent) current?._rooms.delete(room);
      room._enter(payload);
    }
  };

  // What connections tell

  /** `connection` is the one that requests go to from now on. */
  const settleIn = (connection: Connection): void => {
    const welcome = connection._welcome!;
    client.connection = welcome.connection;
    spread = welcome.reconnect_spread_ms;
    steady(begin, STEADY);
    planRenewal();
    requests._flush(connection);
  };

  const owner: Owner = {
    _quietUntil: 0,
    _heard(connection, frame, data) {
      if (frame.type === "welcome") welcomed(connection);
      else if (frame.type === "reconnect") announced(connection, frame.payload);
      else if (!requests._settle(frame, connection)) tell(connection, frame, data);
      move?._check();
    },
    _ended(connection, ending) {
      living.delete(connection);
      requests._giveUp(connection);
      if (ending) lost(connection, ending);
    },
  };

  const welcomed = (connection: Connection): void => {
    living.add(connection);
    client.user = connection._welcome!.user;
    for (const [type, { name }] of bindings) {
      requests._ask({ type: "bind", room: name, payload: { type } }, () => {}, connection);
    }
    for (const room of wanted()) joinOn(connection, room, requests, joined);
    if (connection !== current) return;
    settleIn(connection);
    client.error = undefined;
    client._become("connected");
  };

  const tell = (connection: Connection, frame: Frame, data: string | ArrayBuffer): void => {
    const { type, room: name, payload } = frame;
    if (type === "error") client._emit("error", refusedBy(payload));
    else if (type === "binary") {
      const number = new DataView(payload).getUint32(0);
      const room = bindings.get(number);
      const receiver = (room?._wanted ? room : client) as Client;
      receiver._emit("binary", { type: number, data: new Uint8Array(payload, 4) });
    } else if (type === "joined" && !frame.id) {
      // A backend has put us into the room. From now on it is like one that we have joined.
      const room = client.room(name!);
      room._wanted = true;
      connection._rooms.set(room, { _joined: payload });
      joined(connection, room, payload);
    } else {
      const room = rooms.get(name!);
      // A message that has a position is judged by it.
      const isMeant = room?._wanted && joinedOn(connection, room);
      if (isMeant && (frame.epoch || !move?._isRepeat(connection, data as string))) room._heard(frame);
    }
  };

  const announced = (connection: Connection, payload: { after_ms: number; within_ms: number }): void => {
    // With nothing to do beforehand, it is a loss like any other.
    if (!payload.within_ms || connection !== current) return;
    move?._end();
    move = makeMove(mover, connection, payload.after_ms);
  };

  const lost = (connection: Connection, ending: Ending): void => {
    const next = move?._to;
    const verdict = verdictOf(ending.code!);
    const isOnce = verdict === "once";
    // A handshake that nobody has said no to. It may have been the token.
    const isEarly = ending.code! > 1_000 && !connection._socket.protocol;
    if (isEarly)
      ending.reason ||=
        timeLeft(token) > 0 ? `no gateway answers at ${new URL(url).host}` : "token expired, by our clock";
    if (isOnce || isEarly) token = undefined;
    if (connection !== current) return connection === next ? move!._failed() : move?._finish();
    // Where the next connection is there already, it becomes the present one as far as it has come.
    if (verdict === "return" && next?._welcome && next !== connection) return move!._finish(ending);
    // Where a gateway was before, 404 is a proxy that changes.
    const isFinal = verdict === "stop" && !(ending.code === 404 && client.user);
    if (isFinal || (isOnce && wasRefused)) return stop(ending);
    wasRefused ||= isOnce;
    down(ending);
    if (isOnce) open();
    else retry(ending, connection._retryAfter);
  };

  // From one state to the next

  /** As if nothing had failed. */
  const begin = (): void => {
    failures = 0;
    wasRefused = false;
  };

  /** Come back after a random time within a window that grows, so that no two clients return in step. */
  const retry = (ending?: Ending, retryAfter?: number): void => {
    const window = Math.max(spread, failures && LEAST_WINDOW) * 2 ** failures++;
    const jittered = Math.random() * Math.min(options.maxDelay, window);
    const delay = Math.max(options.minDelay, (retryAfter || 0) + jittered);
    waiting(open, delay);
    client._emit("waiting", { delay, ...ending });
  };

  const open = (): void => {
    waiting();
    dial((connection) => {
      current = connection;
    }, retry);
  };

  const dial = (done: (connection: Connection) => void, failed: () => void): void => {
    const use = (fresh: string) => {
      token = fresh;
      try {
        done(openConnection(url, fresh, options, owner));
      } catch (error) {
        // By its name only: what it says may have the token in it.
        const { name } = error as Error;
        stop({ reason: `WebSocket: ${name}${name === "SecurityError" ? ", a page of https needs wss://" : ""}` });
      }
    };
    withToken(timeLeft(token) > NEARLY_OVER ? token! : nextToken(), use, failed);
  };

  /** Asked for once at a time. */
  const nextToken = () =>
    (asked ??= new Promise((resolve) => resolve(given.getToken())).then(checked).finally(() => {
      asked = undefined;
    }));

  /** Does nothing where what is going on now is over by then. */
  const whileOn = <T>(work: (value: T) => void) => {
    const begun = run;
    return (value: T): void => {
      if (begun === run) work(value);
    };
  };

  const withToken = (coming: string | Promise<string>, use: (token: string) => void, failed: () => void): void => {
    const refuse = whileOn((error: Error) => {
      // What is no token and never will be. A text may be the page of a server that is not well.
      const code = client.state !== "connected" && error instanceof RefusedError && !error.retryAfter && error.code;
      // By its name, since a page may hold this package twice.
      if (code || error.name === "UnauthorizedError")
        return stop({ code: 4401, reason: error.message }, code || undefined);
      client.error = error;
      // First, so that a listener may end it.
      failed();
      client._emit("error", error);
    });
    Promise.resolve(coming).then(whileOn(use)).catch(refuse);
  };

  /** Nothing is left of what was connected or being connected. */
  const down = (ending: Ending, state: ClientState = "connecting", error: Error | null = failureOf(ending)): void => {
    const last = current;
    run++;
    waiting();
    renewal();
    steady();
    move?._end();
    current = move = client.connection = undefined;
    client.error = error ?? undefined;
    client._become(state, ending);
    for (const room of wanted()) room._become("joining", ending);
    last?._close();
  };

  const stop = (ending?: Ending, code?: string): void => {
    if (client.state === "disconnected") return;
    const stopped = failureOf(ending, code);
    for (const emitter of [client, ...rooms.values()]) (emitter as Client)._emit(END, stopped);
    unwatch();
    // Whoever asks next does not get the token that is still awaited.
    asked = undefined;
    down(ending ?? {}, "disconnected", ending ? stopped : null);
    requests._giveUp();
  };

  // The token, while connected

  const planRenewal = (): void => {
    const left = timeLeft(token);
    const wait = Math.max(left - options.refreshMargin, left / 4, PAUSE);
    if (left > 0) renewal(renew, Math.min(wait, LONGEST_TIMER));
  };

  const renew = (): void => {
    const show = (fresh: string) => {
      const answer: Answer = (error) => {
        const isOther = error?.code === "identity_changed";
        // A token that was not taken is asked for again later, for as long as the old one lasts.
        if (!error || isOther) token = fresh;
        if (error) client._emit("error", error);
        if (!isOther) return planRenewal();
        down({ reason: error.code });
        open();
      };
      requests._ask({ type: "auth", payload: { token: fresh } }, whileOn(answer), current);
    };
    withToken(nextToken(), show, planRenewal);
  };

  // Moving from one connection to the next

  const mover = {
    _dial: dial,
    _isWaitingFor: requests._isWaitingFor,
    _isLive: (connection: Connection) =>
      wanted().every((room) => {
        const there = joinedOn(connection, room);
        return there && (!there.epoch || room._isBehind(there));
      }),
    _cutOver(connection: Connection, ending?: Ending): void {
      living.delete(current!);
      current = connection;
      for (const room of wanted()) if (!joinedOn(connection, room)) room._become("joining", ending);
      settleIn(connection);
    },
    _moved: () =>
      client._emit("moved", {
        rooms: wanted()
          .filter((room) => !room._position)
          .map(({ name }) => name),
      }),
  };

  const probe = () => current?._probe();

  const connect = (): void => {
    if (waiting()) open();
    if (client.state !== "disconnected") return;
    const { WebSocket } = options;
    if (typeof WebSocket !== "function") {
      const remedy = "give the option WebSocket, or transports of forestay/stream";
      client.error = refused(
        "no_websocket",
        WebSocket ? `no ${WebSocket} is imported` : `no WebSocket here: ${remedy}`,
      );
      throw client.error;
    }
    unwatch = watchPage({
      online: connect,
      offline: probe,
      visibilitychange: probe,
      pagehide: ({ persisted }) => persisted && down({ reason: "pagehide" }),
      pageshow: ({ persisted }) => persisted && open(),
    });
    begin();
    client._become("connecting");
    open();
  };

  const session: Session = {
    _bindings: bindings,
    _inbox: options.inbox,
    _room(name) {
      const room = rooms.get(name) ?? new Room(session, name);
      rooms.set(name, room);
      return room;
    },
    _connect: connect,
    _stop: () => stop(),
    _failure: () => (client.state === "disconnected" ? client.error : undefined),
    _ask: (what, how = {}) =>
      new Promise((resolve, reject) => {
        const answer: Answer = (error, payload) => (error ? reject(error) : resolve(payload));
        requests._ask(what, answer, current?._welcome && current, how);
      }),
    _join: (room) => living.forEach((connection) => joinOn(connection, room, requests, joined)),
    _leave: (room) => Promise.all([...living].map((connection) => leaveOn(connection, room, requests))),
  };
  return session;
};
