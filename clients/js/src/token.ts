// The token: asked for only when it is needed, by one chain at a time, and shown in the way that browsers can.

/** Milliseconds before `exp` from which a token is not worth connecting with. */
const NEARLY_OVER = 5_000;

const encode = (text: string): string =>
  btoa(String.fromCharCode(...new TextEncoder().encode(text)))
    .replace(/\+/g, "-")
    .replace(/\//g, "_")
    .replace(/=/g, "");

/** @internal A browser cannot send an Authorization header with a WebSocket. */
export const subprotocols = (token: string): string[] => [
  "forestay.v1",
  `base64url.bearer.forestay.${encode(token)}`,
];

/** When a token ends, in milliseconds since 1970; never, for what cannot be read. Nothing is verified here. */
const expiry = (token: string): number => {
  try {
    const { exp } = JSON.parse(atob(token.split(".")[1]!.replace(/-/g, "+").replace(/_/g, "/")));
    return exp * 1000 || Infinity;
  } catch {
    return Infinity;
  }
};

/** @internal */
export class Tokens {
  #getToken;
  #token: string | undefined;
  #asking: Promise<string> | undefined;

  constructor(getToken: () => string | Promise<string>) {
    this.#getToken = getToken;
  }

  /** The token at hand, or a new one where it is missing, ending or no longer trusted. */
  _get(): Promise<string> {
    if (this.#token && this._left() > NEARLY_OVER) return Promise.resolve(this.#token);
    return this._renew();
  }

  _renew(): Promise<string> {
    const asking: Promise<string> = (this.#asking ??= this.#ask(() => this.#asking === asking));
    return asking;
  }

  async #ask(isWanted: () => boolean): Promise<string> {
    // In a turn of its own, so that what is thrown at once is handled like what is rejected.
    await undefined;
    try {
      const token = await this.#getToken();
      if (isWanted()) this.#token = token;
      return token;
    } finally {
      if (isWanted()) this.#asking = undefined;
    }
  }

  /** Milliseconds until the token ends. */
  _left(): number {
    return this.#token ? expiry(this.#token) - Date.now() : 0;
  }

  /** Do not connect with this token again. */
  _distrust(): void {
    this.#token = undefined;
  }

  /** Take back that a token was asked for: what arrives is not used. */
  _forget(): void {
    this.#asking = undefined;
  }
}
