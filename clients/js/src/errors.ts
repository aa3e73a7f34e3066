// The ways in which something asked for does not happen.

class Failure extends Error {
  constructor(message?: string, fields?: object) {
    super(message);
    Object.assign(this, fields);
  }
}

/** The gateway said no, or was never asked: what was refused has had no effect. */
export class RefusedError extends Failure {
  override name = "RefusedError";
  /** One of the protocol's error codes; `bad_url` or `no_websocket` where the client cannot even begin. */
  declare readonly code: string;
  /** The application's own code, with `refused_by_application`. */
  declare readonly reason?: string;
  /** Milliseconds after which the same may be accepted. */
  declare readonly retryAfter?: number;
  /** With `too_large`: the bytes of the message as it would have been written, and how many the gateway takes. */
  declare readonly size?: number;
  declare readonly limit?: number;
}

/**
 * A message may or may not have been published, or a call carried out. A message with the same `key` again is published
 * once.
 */
export class UnknownOutcomeError extends Failure {
  override name = "UnknownOutcomeError";
  /** Absent where none was sent: then the same again may be a repeat. */
  declare readonly key?: string;
}

/** Thrown by `getToken`: there is no token for this user, and asking again would not help. */
export class UnauthorizedError extends Error {
  override name = "UnauthorizedError";
}

/** There is no connection, and why: by `disconnect()`, by a loss, or because coming back makes no sense. */
export class DisconnectedError extends Failure {
  override name = "DisconnectedError";
  /** A close code, the HTTP status of a refused handshake, or `bad_token` where `getToken` gave none. */
  declare readonly code?: number | string;
  /** What the gateway said, or what is wrong. */
  declare readonly reason?: string;
}

/** @internal */
export const refused = (code: string, message?: string, more?: Partial<RefusedError>): RefusedError =>
  new RefusedError(message, { code, ...more });

/** @internal The payload of an `error`. */
export interface Refusal {
  code: string;
  message?: string;
  reason?: string;
  retry_after_ms?: number;
}

/** @internal */
export const refusedBy = ({ code, message, reason, retry_after_ms: retryAfter }: Refusal): RefusedError =>
  refused(code, message, { reason, retryAfter } as Partial<RefusedError>);

/** @internal Throws the error, in its own class where nobody knows what came of it. */
export const unknownOutcome = (error: RefusedError, key?: string): never => {
  throw error.code === "outcome_unknown" ? new UnknownOutcomeError("no answer", { key }) : error;
};
