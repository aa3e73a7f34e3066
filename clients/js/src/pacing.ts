// Writes what waits for a connection in its order, and no faster than the gateway takes it.

import { makeTimer } from "./timer.js";

type Data = string | Uint8Array<ArrayBuffer>;

/** @internal What `welcome` allows. */
export interface Limits {
  message_bytes: number;
  /** Messages a second; 0 is no limit. */
  rate: number;
  /** Messages at once. */
  burst?: number;
  /** Bytes a second; 0 is no limit. */
  bytes_rate?: number;
  /** How many rooms one `join` may name. An older gateway takes one. */
  rooms_per_join?: number;
}

/** @internal A message that waits to be written. */
export interface Parcel {
  /** Its place in the queue. */
  _id: number;
  /** Absent while its bytes are being read. */
  _data?: Data;
  _size: number;
  /** A room to join. It may share a message with others. */
  _join?: object;
  /** Says whether it is no longer to be written. Then it has taken itself out of the queue. */
  _isOff?(): boolean | undefined;
  /** Called before it is written, with the id of the message that it is part of. */
  _sent(id: number): void;
}

/** @internal Where messages are written. */
export interface Sink {
  /** Seconds after which it may take more, of a stream in place of a WebSocket. It takes no bytes. */
  busy?: number;
  send(data: Data): void;
}

/** @internal */
export interface Pacer {
  _queue: Parcel[];
  /** Whether it takes no bytes. */
  _isText: boolean;
  /** Write what may be written now. */
  _pump(): void;
  /** Put these where they belong. */
  _add(...parcels: Parcel[]): void;
  /** The gateway refused something because of its rate: write nothing for so many milliseconds. */
  _hold(ms: number): void;
  _stop(): void;
}

/** Of a bucket: the network brings messages closer together than they were written. */
const SHARE = 0.9;
/** The gateway takes that many messages of the full size at once, whatever the rate of bytes. */
const LARGEST_AT_ONCE = 4;
/** Of a rate: two clocks never go equally fast. */
const SPEED = 0.97;

/** @internal */
export const makePacer = (limits: Limits, socket: Sink): Pacer => {
  const { rate, burst = rate, bytes_rate = 0, rooms_per_join = 1, message_bytes } = limits;
  const timer = makeTimer();
  const queue: Parcel[] = [];
  const most = rate ? Math.max(1, burst * SHARE) : Infinity;
  const mostBytes = Math.max(bytes_rate, LARGEST_AT_ONCE * message_bytes) * SHARE;
  let tokens = most;
  /** Less than nothing after a large message: then the next one waits for longer. */
  let bytes = mostBytes;
  /** Up to when tokens have been counted. In the future where the gateway wants us to wait. */
  let at = performance.now();

  const pump = (): void => {
    for (let first = queue[0]; first?._data; first = queue[0]) {
      if (first._isOff?.()) continue;
      const now = performance.now();
      const seconds = ((now - at) / 1_000) * SPEED;
      if (seconds > 0) {
        at = now;
        tokens = rate ? Math.min(most, tokens + seconds * rate) : most;
        bytes = Math.min(mostBytes, bytes + seconds * bytes_rate);
      }
      let count = 1;
      let size = first._size;
      const fits = (next?: Parcel) =>
        next?._join &&
        !next._isOff?.() &&
        count < rooms_per_join &&
        count < tokens - 1 &&
        size + next._size <= message_bytes;
      if (first._join) while (fits(queue[count])) size += queue[count++]!._size;
      const wait = Math.max(-seconds, rate && (1 - tokens) / rate, bytes_rate && -bytes / bytes_rate, socket.busy || 0);
      if (wait > 0) return void timer(pump, Math.ceil(wait * 1_100));
      tokens -= count;
      bytes -= size;
      const { _id: id } = first;
      const rooms = queue.splice(0, count).map((parcel) => {
        parcel._sent(id);
        return parcel._join;
      });
      socket.send(count > 1 ? JSON.stringify({ type: "join", rooms, id: `${id}` }) : first._data);
    }
  };

  return {
    _queue: queue,
    _isText: socket.busy != null,
    _pump: pump,
    _add(...parcels) {
      queue.push(...parcels);
      queue.sort((one, other) => one._id - other._id);
    },
    _hold(ms) {
      const now = performance.now();
      // The times of refusals that come together add up. The first of them says when to go on.
      if (at > now) return;
      at = now + ms;
      tokens = Math.min(tokens, 1);
    },
    _stop() {
      queue.length = 0;
      timer();
    },
  };
};
