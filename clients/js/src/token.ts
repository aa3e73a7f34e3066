// The token: asked for only when it is needed, by one chain at a time, and shown in the way that browsers can.

/** Milliseconds before its end from which a token is not worth connecting with. */
const NEARLY_OVER = 5_000;

/**
 * @internal A browser cannot send an Authorization header with a WebSocket. The letters of a JWT are such that base64
 * has no `+` and no `/` in it, so that without its padding it is base64url.
 */
export const subprotocols = (token: string): string[] => [
  "forestay.v1",
  "base64url.bearer.forestay." + btoa(token).replace(/=/g, ""),
];

/** @internal */
export class Tokens {
  /** The one to connect with. */
  _token: string | undefined;
  #asking: Promise<string> | undefined;
  #getToken;

  constructor(getToken: () => string | Promise<string>) {
    this.#getToken = getToken;
  }

  /** Milliseconds until the token ends; for ever, for one that cannot be read. Nothing is verified here. */
  _left(): number {
    try {
      const claims = this._token!.split(".")[1]!.replace(/-/g, "+").replace(/_/g, "/");
      return JSON.parse(atob(claims)).exp * 1000 - Date.now() || Infinity;
    } catch {
      return this._token ? Infinity : 0;
    }
  }

  async _get(): Promise<string> {
    return this._left() > NEARLY_OVER ? this._token! : this._ask();
  }

  _ask(): Promise<string> {
    return (this.#asking ??= this.#request());
  }

  async #request(): Promise<string> {
    try {
      // In a turn of its own, so that what is thrown at once is handled like what is rejected.
      await 0;
      return await this.#getToken();
    } finally {
      this.#asking = undefined;
    }
  }

  /** Whoever asks next does not get the answer that is still awaited. */
  _forget(): void {
    this.#asking = undefined;
  }
}
