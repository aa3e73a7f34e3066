// A socket in all but name: what is said on it goes out as requests, and what an event stream brings is heard on it.
//
// A stream has the rooms of its URL. To join or to leave one, the next stream is opened with the new rooms, each from its
// own position. The one before is closed when the next one is in all of them.

import { verdictOf } from "./codes.js";
import type { Ending, Welcome } from "./connection.js";
import type { Frame, Position } from "./frames.js";
import { ANCHOR, addressOfPath, eventId, streamAddress } from "./paths.js";
import { makePosts } from "./posts.js";
import { makeRepeats } from "./repeats.js";
import { readEvents } from "./sse.js";
import { makeTimer } from "./timer.js";

/** Milliseconds for which rooms to join or to leave are collected. */
const TOGETHER = 10;
/**
 * Milliseconds for which the stream before is still listened to: one pod may hear the bus later than another. Where all
 * rooms have positions, nothing can be missed.
 */
const LINGER = 300;
/** Milliseconds for the next stream until its welcome, and then until it is in all of its rooms. */
const WELCOME = 10_000;
const COMPLETE = 30_000;
/** How often the next stream is tried without the one before, where a user may have only one. */
const YIELDS = 4;
/** Milliseconds after which the next stream is tried again, and as many more at random. */
const AGAIN = 1_000;
/** Seconds to wait while there are enough requests. */
const FULL = 0.02;
/** The part of its interval within which a heartbeat comes. */
const LATE = 1.1;
/** Rooms that a stream may have, and characters that servers and proxies take as its address. */
const MOST_ROOMS = 100;
const LONGEST = 7_000;
const TOO_MANY = { code: "too_many_rooms", message: "a stream can name no more rooms" };
/** Statuses that say that a request is malformed or too long. */
const TOO_MUCH = new Set([400, 413, 414, 431]);

/** @internal How a stream ended, when to come back, in milliseconds, and the code of a refusal. */
export type StreamEnding = Ending & { code: number; retryAfter?: number; error?: string };

/** @internal What a connection needs of a socket, whatever carries it. */
export interface Socket {
  readonly protocol: string;
  readonly readyState: number;
  /** Seconds after which it may take more. It takes text only. */
  readonly busy: number;
  onmessage: ((event: { data: string }) => void) | null;
  onclose: ((event: StreamEnding) => void) | null;
  send(text: string): void;
  close(): void;
}

/** A room that is wanted. */
interface Place {
  _position: Position | undefined;
  /** The id of the `join` that is not answered yet. */
  _asked: string | undefined;
}

/** One stream. */
interface Line {
  _rooms: Set<string>;
  /** Those that have no answer yet. */
  _open: Set<string>;
  /** Whether it has the anchor, because it has no room. */
  _isAnchored: boolean;
  _token: string;
  _welcome?: Welcome;
  /** Milliseconds after which the gateway wants us back. */
  _retry: number;
  _isOver: boolean;
  _abort: AbortController;
}

const placeOf = ({ epoch, offset }: Partial<Position>): Position | undefined =>
  epoch ? { epoch, offset: offset! } : undefined;

/** @internal */
export const openStream = (url: string, given: string): Socket => {
  const rooms = new Map<string, Place>();
  const collecting = makeTimer();
  const checking = makeTimer();
  const lingering = makeTimer();
  const opening = makeTimer();
  const repeats = makeRepeats();
  let token = given;
  /** What is answered when the next stream is there: that rooms are left, and that a token holds. */
  let waiting: Frame[] = [];
  let live: Line | undefined;
  let next: Line | undefined;
  /** The one before, for as long as it is listened to. */
  let former: Line | undefined;
  /** Whether the newest stream has other rooms, or another token, than it should have. */
  let isStale = false;
  let isWelcome = false;
  let yields = 0;
  let heardAt = 0;
  let isOver = false;

  const emit = (frame: object): void => {
    if (!isOver) socket.onmessage?.({ data: JSON.stringify(frame) });
  };

  const posts = makePosts(url, {
    _token: () => token,
    _connection: () => (live ?? former)?._welcome?.connection,
    _areTwo: () => !!(next ?? former),
    _answer: emit,
  });

  const drop = (line: Line | undefined): void => {
    if (!line) return;
    line._isOver = true;
    line._abort.abort();
  };

  const quit = (): void => {
    isOver = true;
    collecting();
    checking();
    lingering();
    opening();
    posts._stop();
    for (const line of [former, live, next]) drop(line);
  };

  const end = (ending: StreamEnding): void => {
    if (isOver) return;
    quit();
    socket.onclose?.(ending);
  };

  // From one stream to the next

  const open = (): void => {
    const names = [...rooms.keys()];
    const line: Line = {
      _rooms: new Set(names),
      _open: new Set(names),
      _isAnchored: !names[0],
      _token: token,
      _retry: 0,
      _isOver: false,
      _abort: new AbortController(),
    };
    const renewal = waiting.find(({ type }) => type === "auth");
    if (renewal) line._token = renewal.payload.token;
    next = line;
    isStale = false;
    // Not before: what the former stream has told may still be on its way here.
    repeats._clear();
    expect(line, WELCOME);
    const over = () => ended(line, { code: 1006, reason: "the stream ended" });
    read(line).then(over, over);
  };

  const expect = (line: Line, ms: number): void =>
    void opening(() => line === next && ended(line, { code: 1006, reason: "no welcome" }), ms);

  const read = async (line: Line): Promise<void> => {
    const names = [...line._rooms];
    const id = eventId(names.map((room) => rooms.get(room)?._position));
    const response = await fetch(streamAddress(url, names), {
      headers: { authorization: `Bearer ${line._token}`, ...(id && { "last-event-id": id }) },
      cache: "no-store",
      signal: line._abort.signal,
    });
    const { status, statusText, headers } = response;
    if (status !== 200 || !/^text\/event-stream/.test(headers.get("content-type") ?? "")) {
      const problem = await response.json().catch(() => ({}));
      const retryAfter = Number(headers.get("retry-after")) * 1_000 || 0;
      const reason = problem.detail ?? statusText;
      // A page in place of a stream is somebody else's.
      return ended(line, { code: status === 200 ? 404 : status, reason, retryAfter, error: problem.code });
    }
    await readEvents(response.body!, {
      _data(text) {
        if (!line._isOver) heard(line, JSON.parse(text));
      },
      _alive(isComment) {
        if (line !== live) return;
        heardAt = Date.now();
        if (isComment) emit({ type: "pong" });
      },
      _retry(ms) {
        line._retry = ms;
      },
    });
  };

  /** Open the next stream, soon, and not while there are two: of three it could not be told what is a repeat. */
  const change = (after = TOGETHER): void => {
    isStale = true;
    collecting(() => !next && !former && !isOver && open(), after);
  };

  /** The stream before is not listened to any more. */
  const forget = (): void => {
    lingering();
    drop(former);
    former = undefined;
    if (isStale) change();
  };

  /** See whether the next stream is in all of its rooms. */
  const check = (line: Line): void => {
    if (line !== next || line._open.size || !line._welcome) return;
    former = live;
    live = line;
    next = undefined;
    yields = 0;
    heardAt = Date.now();
    const isDense = [...rooms].every(([room, { _position }]) => _position || !former?._rooms.has(room));
    lingering(forget, isDense ? 0 : LINGER);
  };

  const settle = (refusal?: object): void => {
    const settled = waiting;
    waiting = [];
    for (const { type, room, id } of settled) {
      if (type === "leave") emit({ type: "left", room, id });
      else emit(refusal ? { type: "error", id, payload: refusal } : { type: "ack", id, payload: {} });
    }
  };

  const ended = (line: Line, ending: StreamEnding): void => {
    if (line._isOver) return;
    drop(line);
    const { code } = ending;
    const isFinal = verdictOf(code) !== "return";
    if (line === former) return;
    // What ends before it has begun is a refusal, which says when to come back.
    if (!line._welcome) ending.retryAfter ||= line._retry;
    // That the stream before ends while the next one is opened changes nothing, unless that is for good.
    if (line === live && next && (!isFinal || code === 4409)) return void (live = undefined);
    if (line === next && isWelcome && (code === 4409 || code === 403) && yields < YIELDS) {
      // There is no place for two. So there is a gap, which positions close.
      yields++;
      forget();
      drop(live);
      live = next = undefined;
      return change(LINGER);
    }
    if (line !== next || !live) return end(ending);
    next = undefined;
    if (line._token !== token && code % 4000 === 401) {
      settle({ code: "bad_token", message: ending.reason });
      if (isStale || [...rooms.values()].some(({ _asked }) => _asked !== undefined)) change();
    } else {
      const asked = [...rooms].filter(([, { _asked }]) => _asked !== undefined);
      const isTooMuch = TOO_MUCH.has(code) && asked[0];
      if (isFinal && !isTooMuch) return end(ending);
      const wait = AGAIN + Math.random() * AGAIN;
      const payload = isTooMuch
        ? { code: ending.error ?? "too_many_rooms", message: ending.reason }
        : { code: "unavailable", message: "no stream", retry_after_ms: wait };
      for (const [room, { _asked: id }] of asked) {
        rooms.delete(room);
        emit({ type: "error", room, id, payload });
      }
      if (waiting[0]) change(wait);
    }
  };

  // What a stream says

  const heard = (line: Line, frame: Frame): void => {
    const { type, room: name, payload } = frame;
    if (type === "welcome") return welcomed(line, frame);
    if (type === "close") return ended(line, payload);
    if (type === "reconnect") return line === (next ?? live) ? emit(frame) : undefined;
    if (!name) return emit(frame);
    const place = rooms.get(name);
    const isAnswer = (type === "joined" || type === "error") && line._open.delete(name);
    if (type === "joined" && !isAnswer) {
      if (!line._isAnchored || name !== ANCHOR) putIn(line, place, frame);
      return;
    }
    // What was left meanwhile is no part of the stream any more.
    if (!place || !line._rooms.has(name)) return isAnswer ? check(line) : undefined;
    if (type === "joined") joined(line, name, place, payload);
    else if (type === "error") refused(line, name, place, payload);
    else if (place._asked === undefined) tell(line, name, place, frame);
  };

  const welcomed = (line: Line, frame: Frame): void => {
    if (live && live._welcome!.user !== frame.payload.user) {
      settle({ code: "identity_changed", message: "another user" });
      next = undefined;
      return drop(line);
    }
    line._welcome = frame.payload;
    expect(line, COMPLETE);
    token = line._token;
    settle();
    if (!isWelcome) emit(frame);
    isWelcome = true;
    check(line);
  };

  const joined = (line: Line, room: string, place: Place, payload: Frame["payload"]): void => {
    const { _asked: id } = place;
    // Whether anything is missing is a question only where there was a position.
    if (!place._position) payload.recovered = undefined;
    const { recovered, epoch, offset } = payload;
    if (!recovered) place._position = placeOf(payload);
    place._asked = undefined;
    if (id !== undefined) emit({ type: "joined", room, id, payload });
    // Without positions something is missing where the stream before has ended already.
    else if (!recovered && (epoch || !live)) {
      emit({ type: "resync", room, payload: { reason: epoch ? "lost" : "missed", epoch, offset } });
    }
    check(line);
  };

  /** A backend has put us into a room that the stream's address does not have. The streams after this one have it. */
  const putIn = (line: Line, place: Place | undefined, frame: Frame): void => {
    const room = frame.room!;
    if (!place) {
      if (!fits(room)) return emit({ type: "error", room, payload: TOO_MANY });
      rooms.set(room, { _position: placeOf(frame.payload), _asked: undefined });
      line._rooms.add(room);
      emit(frame);
      if (line !== (next ?? live)) change();
    } else if (!place._position) line._rooms.add(room);
    // Behind its own position the next stream has it without a gap.
    else if (!line._rooms.has(room) && line === (next ?? live)) change();
  };

  const refused = (line: Line, room: string, { _asked: id }: Place, payload: Frame["payload"]): void => {
    if (id === undefined && payload.retry_after_ms) {
      // The room stays in the stream that it is in until the next one has it.
      drop(line);
      next = undefined;
      return change(payload.retry_after_ms);
    }
    rooms.delete(room);
    line._rooms.delete(room);
    if (id !== undefined) emit({ type: "error", room, id, payload });
    else emit({ type: "left", room, payload: { reason: payload.code } });
    check(line);
  };

  const tell = (line: Line, room: string, place: Place, frame: Frame): void => {
    const { type, payload } = frame;
    if (type === "left") rooms.delete(room);
    const to: Partial<Position> = type === "resync" ? payload : frame;
    const here = place._position;
    if (to.epoch) {
      if (here?.epoch === to.epoch && here.offset >= to.offset!) return;
      place._position = placeOf(to);
    } else if (repeats._has(line, JSON.stringify(frame), !!(next ?? former))) return;
    emit(frame);
  };

  // What the connection says

  /** Whether the next stream can have this room too. */
  const fits = (room: string): boolean => {
    const names = [...rooms.keys(), room];
    return names.length <= MOST_ROOMS && streamAddress(url, names).href.length <= LONGEST;
  };

  const join = (id: string, { room, since }: { room: string; since?: Position }): void => {
    if (!fits(room)) return queueMicrotask(() => emit({ type: "error", room, id, payload: TOO_MANY }));
    rooms.set(room, { _position: since, _asked: id });
    change();
  };

  const leave = (frame: Frame): void => {
    const room = frame.room!;
    rooms.delete(room);
    for (const line of [former, live, next]) line?._rooms.delete(room);
    waiting.push(frame);
    change();
  };

  const ping = (): void => {
    const { ping_interval_ms: interval, pong_timeout_ms: patience } = live?._welcome ?? former!._welcome!;
    const ask = async () => {
      // A heartbeat that is late says enough. Otherwise this is about the way, which any answer shows.
      if (Date.now() - heardAt > interval * LATE) return;
      await fetch(addressOfPath(url, "ws"), { cache: "no-store" });
      emit({ type: "pong" });
    };
    checking(() => ask().catch(() => {}), patience / 2);
  };

  const socket: Socket = {
    protocol: "forestay.v1",
    get readyState() {
      return isOver ? 3 : 1;
    },
    get busy() {
      return posts._isFull ? FULL : 0;
    },
    onmessage: null,
    onclose: null,
    send(text) {
      const frame: Frame & { rooms?: { room: string }[] } = JSON.parse(text);
      const { type, id } = frame;
      if (type === "join") for (const each of frame.rooms ?? [frame]) join(id!, each as { room: string });
      else if (type === "leave") leave(frame);
      else if (type === "ping") ping();
      else if (type === "auth") {
        waiting.push(frame);
        change();
      } else if (type === "bind") {
        const payload = { code: "needs_websocket", message: "binary messages need a WebSocket" };
        queueMicrotask(() => emit({ type: "error", room: frame.room, id, payload }));
      } else posts._send(frame);
    },
    close: quit,
  };
  open();
  return socket;
};
