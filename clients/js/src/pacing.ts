// How much the gateway takes from a connection, and when: messages and bytes, each with a rate and a burst.

import { makeTimer, type Timer } from "./timer.js";

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

/** @internal */
export interface Pacer {
  /** For what is written after a wait. */
  _timer: Timer;
  /** Milliseconds until the next message may be written, if that is more than 0. */
  _wait(): number;
  /** Whether a message may count as so many, after a wait that was 0. */
  _allows(count: number): boolean;
  /** Something was written. */
  _spend(count: number, size: number): void;
  /** The gateway refused something because of its rate: write nothing for so many milliseconds. */
  _hold(ms: number): void;
}

/** Of a bucket: the network brings messages closer together than they were written. */
const SHARE = 0.9;
/** The gateway takes that many messages of the full size at once, whatever the rate of bytes. */
const LARGEST_AT_ONCE = 4;
/** Of a rate: two clocks never go equally fast. */
const SPEED = 0.97;

/** @internal */
export const makePacer = ({ rate, burst = rate, bytes_rate = 0, message_bytes }: Limits): Pacer => {
  const most = rate ? Math.max(1, burst * SHARE) : Infinity;
  const mostBytes = Math.max(bytes_rate, LARGEST_AT_ONCE * message_bytes) * SHARE;
  let tokens = most;
  /** Less than nothing after a large message: then the next one waits for longer. */
  let bytes = mostBytes;
  /** Up to when tokens have been counted. In the future where the gateway wants us to wait. */
  let at = performance.now();

  return {
    _timer: makeTimer(),
    _wait() {
      const now = performance.now();
      const seconds = ((now - at) / 1_000) * SPEED;
      if (seconds > 0) {
        at = now;
        tokens = rate ? Math.min(most, tokens + seconds * rate) : most;
        bytes = Math.min(mostBytes, bytes + seconds * bytes_rate);
      }
      return Math.max(-seconds, rate && (1 - tokens) / rate, bytes_rate && -bytes / bytes_rate) * 1_100;
    },
    _allows: (count) => count < tokens,
    _spend(count, size) {
      tokens -= count;
      bytes -= size;
    },
    _hold(ms) {
      const now = performance.now();
      // The times of refusals that come together add up. The first of them says when to go on.
      if (at > now) return;
      at = now + ms;
      tokens = Math.min(tokens, 1);
    },
  };
};
