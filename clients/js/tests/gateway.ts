// A gateway in this process that says what a test tells it to, over real sockets.

import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { type WebSocket, WebSocketServer } from "ws";

export const WELCOME = {
  connection: "c",
  user: "alice",
  protocol: "forestay.v1",
  ping_interval_ms: 25_000,
  pong_timeout_ms: 10_000,
  reconnect_spread_ms: 0,
  limits: { message_bytes: 65_536, rate: 200, rooms: 100 },
};

type Frame = Record<string, unknown> & { type: string; id?: string; room?: string };

/** What arrives, in order, and whoever waits for it. */
class Queue<T> {
  #items: T[] = [];
  #wake = (): void => {};

  add(item: T): void {
    this.#items.push(item);
    this.#wake();
  }

  async take(isMeant: (item: T) => boolean = () => true): Promise<T> {
    for (;;) {
      const index = this.#items.findIndex(isMeant);
      if (index >= 0) return this.#items.splice(index, 1)[0]!;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  get length(): number {
    return this.#items.length;
  }
}

/** What a connection that is served has come to. */
export interface Served {
  rooms: string[];
  published: unknown[];
  refused: number;
  /** Of each `join`, how many rooms it named. */
  sizes: number[];
}

/** One connection, from the gateway's side. */
export class Peer {
  readonly token: string;
  readonly closed: Promise<number>;
  #heard = new Queue<Frame>();
  #binary = new Queue<Buffer>();

  constructor(
    readonly socket: WebSocket,
    request: IncomingMessage,
  ) {
    const offered = request.headers["sec-websocket-protocol"] ?? "";
    this.token = Buffer.from(offered.split("base64url.bearer.forestay.")[1] ?? "", "base64url").toString();
    this.closed = new Promise((resolve) => socket.on("close", resolve));
    socket.on("message", (data: Buffer, isBinary) =>
      isBinary ? this.#binary.add(data) : this.#heard.add(JSON.parse(data.toString())),
    );
  }

  say(frame: object): void {
    this.socket.send(JSON.stringify({ timestamp: "2026-01-01T00:00:00.000Z", ...frame }));
  }

  welcome(changes: object = {}): void {
    this.say({ type: "welcome", payload: { ...WELCOME, ...changes } });
  }

  hearBinary(): Promise<Buffer> {
    return this.#binary.take();
  }

  hear(type: string): Promise<Frame> {
    return this.#heard.take((frame) => frame.type === type);
  }

  /** Answers joins and broadcasts from now on, and refuses what is over the rate as a gateway does. */
  serve(rate: number, burst: number): Served {
    const served: Served = { rooms: [], published: [], refused: 0, sizes: [] };
    let tokens = burst;
    let at = performance.now();
    let due = at;
    const spend = (): number => {
      const now = performance.now();
      tokens = Math.min(burst, tokens + ((now - at) / 1_000) * rate);
      at = now;
      if (tokens >= 0.999) {
        tokens -= 1;
        return 0;
      }
      served.refused++;
      due = Math.max(due + 1_000 / rate, now + ((1 - tokens) / rate) * 1_000);
      return due - now;
    };
    this.socket.on("message", (data: Buffer, isBinary) => {
      const frame = isBinary ? { type: "binary" } : (JSON.parse(data.toString()) as Frame);
      const asked = (frame.rooms as { room: string }[] | undefined) ?? [{ room: frame.room! }];
      if (frame.type === "join") served.sizes.push(asked.length);
      for (const { room } of asked) {
        const answer = { id: frame.id, ...(frame.type === "join" && { room }) };
        const wait = spend();
        if (wait > 0) {
          const payload = { code: "rate_limited", message: "too fast", retry_after_ms: Math.ceil(wait) };
          this.say({ type: "error", ...answer, payload });
        } else if (frame.type === "join") {
          served.rooms.push(room);
          this.say({ type: "joined", ...answer, payload: {} });
        } else if (frame.type === "broadcast") {
          served.published.push(frame.payload);
          this.say({ type: "ack", ...answer, payload: {} });
        }
      }
    });
    return served;
  }

  /** How many messages came that no test has asked for. */
  get unheard(): number {
    return this.#heard.length;
  }

  /** Let the client into `room`. */
  async admit(payload: object = {}): Promise<Frame> {
    const join = await this.hear("join");
    this.say({ type: "joined", id: join.id, room: join.room, payload });
    return join;
  }
}

export class Gateway {
  /** With what each handshake is refused, in turn; `undefined` lets in. */
  refusals: (string | undefined)[] = [];
  /** What the problem documents say in answer to a plain GET, which is refused like the last handshake. */
  detail: string | undefined;
  /** The tokens of the plain GETs. */
  asked: (string | undefined)[] = [];
  #refusal: string | undefined;
  #server = createServer();
  #sockets = new WebSocketServer({ noServer: true });
  #peers = new Queue<Peer>();
  handshakes = 0;

  static async open(): Promise<Gateway> {
    const gateway = new Gateway();
    gateway.#server.on("request", (request, response) => gateway.#answer(request, response));
    gateway.#server.on("upgrade", (...upgrade) => gateway.#upgrade(...upgrade));
    await new Promise<void>((resolve) => gateway.#server.listen(0, "127.0.0.1", resolve));
    return gateway;
  }

  get url(): string {
    return `ws://127.0.0.1:${(this.#server.address() as AddressInfo).port}/ws`;
  }

  #answer({ headers }: IncomingMessage, response: ServerResponse): void {
    this.asked.push(headers.authorization?.replace("Bearer ", ""));
    const [line = "", ...fields] = (this.#refusal ?? "426 Upgrade Required").split("\r\n");
    for (const field of fields) response.setHeader(...(field.split(": ") as [string, string]));
    response.statusMessage = line.slice(4);
    response.writeHead(Number(line.slice(0, 3)), { "Content-Type": "application/problem+json", Connection: "close" });
    response.end(JSON.stringify({ status: Number(line.slice(0, 3)), detail: this.detail }));
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    this.handshakes++;
    const refusal = this.refusals.shift();
    this.#refusal = refusal;
    if (refusal) return void socket.end(`HTTP/1.1 ${refusal}\r\nContent-Length: 0\r\n\r\n`);
    this.#sockets.handleUpgrade(request, socket, head, (ws) => this.#peers.add(new Peer(ws, request)));
  }

  /** The next connection, before its welcome. */
  connected(): Promise<Peer> {
    return this.#peers.take();
  }

  /** The next connection, welcomed. */
  async welcomed(changes: object = {}): Promise<Peer> {
    const peer = await this.connected();
    peer.welcome(changes);
    return peer;
  }

  close(): void {
    for (const socket of this.#sockets.clients) socket.terminate();
    this.#server.close();
  }
}
