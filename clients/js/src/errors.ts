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
  /** One of the protocol's error codes. */
  declare readonly code: string;
  /** Milliseconds after which the same may be accepted. */
  declare readonly retryAfter?: number;
}

/** A message may or may not have been published. The same again with the same `key` is published once. */
export class UnknownOutcomeError extends Failure {
  override name = "UnknownOutcomeError";
  /** Absent where none was sent: then the same again may be a repeat. */
  declare readonly key?: string;
}

/** Thrown by `getToken`: there is no token for this user, and asking again would not help. */
export class UnauthorizedError extends Error {
  override name = "UnauthorizedError";
}

/** The client has stopped: by `disconnect()`, or because coming back makes no sense. */
export class DisconnectedError extends Failure {
  override name = "DisconnectedError";
  declare readonly code?: number;
  declare readonly reason?: string;
}
