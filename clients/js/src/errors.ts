// The ways in which something asked for does not happen.

/** The gateway said no, or was never asked: what was refused has had no effect. */
export class RefusedError extends Error {
  override name = "RefusedError";
  constructor(
    /** One of the protocol's error codes. */
    readonly code: string,
    message: string,
    /** Milliseconds after which the same may be accepted. */
    readonly retryAfter?: number,
  ) {
    super(message);
  }
}

/** A message may or may not have been published. The same again with the same `key` is published once. */
export class UnknownOutcomeError extends Error {
  override name = "UnknownOutcomeError";
  constructor(
    /** Absent where none was sent: then the same again may be a repeat. */
    readonly key?: string,
  ) {
    super("perhaps published");
  }
}

/** Thrown by `getToken`: there is no token for this user, and asking again would not help. */
export class UnauthorizedError extends Error {
  override name = "UnauthorizedError";
}

/** The client has stopped: by `disconnect()`, or because coming back makes no sense. */
export class DisconnectedError extends Error {
  override name = "DisconnectedError";
  constructor(
    readonly code?: number,
    readonly reason?: string,
  ) {
    super("disconnected");
  }
}
