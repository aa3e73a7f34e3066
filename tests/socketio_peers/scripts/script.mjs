// The script of the stock JavaScript client, in Node and in a browser. script.py and Script.java have the same steps.
//
// Each step returns what an application sees, as JSON. A step that cannot be done says why.

const PATIENCE = 8000;
const QUIET = 300;
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
const hex = (data) => [...new Uint8Array(data)].map((byte) => byte.toString(16).padStart(2, "0")).join("");

/** Resolves with the arguments of the next `event`, or with undefined when none comes in time. */
function next(emitter, event, patience = PATIENCE) {
  return new Promise((done) => {
    const timer = setTimeout(done, patience);
    emitter.once(event, (...args) => {
      clearTimeout(timer);
      done(args);
    });
  });
}

/** Waits until `met` holds, and says whether it does. */
async function until(met, patience = PATIENCE) {
  for (const end = Date.now() + patience; !met() && Date.now() < end; ) await wait(10);
  return met();
}

class Script {
  constructor(io, settings) {
    this.io = io;
    this.settings = settings;
    this.sockets = [];
  }

  async control(path, query = {}) {
    const answer = await fetch(`${this.settings.control}/${path}?${new URLSearchParams(query)}`);
    if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
    return answer.text();
  }

  /** A socket that does not wait for its connection. */
  async open(side, user, { kind = "good", namespace = "/", ...options } = {}) {
    const token = kind === "none" ? undefined : await this.control("token", { user, kind });
    const socket = this.io(this.settings[side] + namespace, {
      auth: token && { token },
      transports: this.settings.transports,
      forceNew: true,
      reconnectionDelay: 100,
      reconnectionDelayMax: 300,
      ...options,
    });
    this.sockets.push(socket);
    return socket;
  }

  async connect(side, user, options) {
    const socket = await this.open(side, user, options);
    if (!socket.connected && !(await next(socket, "connect"))) throw new Error(`${user} does not connect`);
    return socket;
  }

  async join(socket, room) {
    const answer = await socket.timeout(PATIENCE).emitWithAck("join-room", room);
    if (!answer.ok) throw new Error(`cannot join ${room}: ${answer.code}`);
  }

  say(socket, room, payload) {
    return socket.timeout(PATIENCE).emitWithAck("message", { room, payload });
  }

  /** All payloads of `message` from here on. */
  heard(socket) {
    const payloads = [];
    socket.on("message", ({ payload }) => payloads.push(payload));
    return payloads;
  }
}

const STEPS = {
  async connect(script) {
    const socket = await script.connect("a", "alice");
    const { engine } = socket.io;
    const last = script.settings.transports.at(-1);
    await until(() => engine.transport.name === last, 3000);
    return { transport: engine.transport.name, "its id is the engine's": socket.id === engine.id };
  },

  async refused(script) {
    const found = {};
    for (const kind of ["none", "bad", "expired"]) {
      const socket = await script.open("a", "alice", { kind });
      const [error] = (await next(socket, "connect_error")) ?? [{}];
      found[kind] = { message: error.message, code: error.data?.code, "tries again": socket.active };
    }
    const socket = await script.open("a", "alice", { namespace: "/nowhere" });
    const [error] = (await next(socket, "connect_error")) ?? [{}];
    found.namespace = { message: error.message, "tries again": socket.active };
    return found;
  },

  async acks(script) {
    const alice = await script.connect("a", "alice");
    const carol = await script.connect("b", "carol");
    const ask = (socket, ...args) => socket.timeout(PATIENCE).emitWithAck(...args);
    return {
      join: (await ask(alice, "join-room", "acks")).ok,
      "join as an object": (await ask(alice, "join-room", { room: "acks.2" })).ok,
      message: (await script.say(alice, "acks", 1)).ok,
      leave: (await ask(alice, "leave-room", "acks")).ok,
      "no name": (await ask(alice, "join-room", "")).code,
      "no right to join": (await ask(carol, "join-room", "acks")).code,
      "right to read": (await ask(carol, "join-room", "news")).ok,
      "no right to write": (await script.say(carol, "news", 1)).code,
    };
  },

  async rooms(script) {
    const alice = await script.connect("a", "alice");
    const bob = await script.connect("b", "bob");
    const carol = await script.connect("b", "carol");
    for (const socket of [alice, bob]) await script.join(socket, "rooms");
    const [own, others, outside] = [alice, bob, carol].map((socket) => script.heard(socket));
    const first = next(bob, "message");
    for (let number = 0; number < 20; number++) alice.emit("message", { room: "rooms", payload: { number } });
    const [{ from, room, payload }] = await first;
    await until(() => own.length === 20 && others.length === 20);
    await bob.timeout(PATIENCE).emitWithAck("leave-room", "rooms");
    await script.say(alice, "rooms", "after");
    await script.join(bob, "Küche 7/unten");
    const odd = next(bob, "message");
    await script.say(alice, "Küche 7/unten", "odd");
    const oddly = await odd;
    await wait(QUIET);
    return {
      first: { from, room, payload },
      "in order": others.slice(0, 20).every((one, at) => one.number === at),
      "the sender hears": own.filter((one) => one !== "after").length,
      "another name": oddly && { room: oddly[0].room, payload: oddly[0].payload },
      "after leaving": others.includes("after"),
      "outside hears": outside.length,
    };
  },

  async news(script) {
    const alice = await script.connect("a", "alice");
    await script.join(alice, "lobby");
    const bob = await script.connect("b", "bob");
    const joined = next(alice, "user-joined");
    await script.join(bob, "lobby");
    const [arrival] = (await joined) ?? [];
    const left = next(alice, "user-left");
    await bob.timeout(PATIENCE).emitWithAck("leave-room", "lobby");
    const [departure] = (await left) ?? [];
    await script.join(bob, "lobby");
    const lost = next(alice, "user-left");
    bob.disconnect();
    const [loss] = (await lost) ?? [];
    const seen = (news) => news && { userId: news.userId, room: news.room };
    return { joined: seen(arrival), left: seen(departure), "after a disconnect": seen(loss) };
  },

  async events(script) {
    const alice = await script.connect("a", "alice");
    const bob = await script.connect("b", "bob");
    await script.join(bob, "chat.7");
    const heard = next(bob, "chat message");
    const ack = await alice.timeout(PATIENCE).emitWithAck("chat message", 7, "zoë 😀", null, { a: [1, 2.5] }, true);
    const answer = await alice
      .timeout(1000)
      .emitWithAck("no rule", 1)
      .catch(() => "no answer");
    return { args: await heard, ack: ack.ok, "without a rule": answer.code ?? answer };
  },

  async binary(script) {
    const alice = await script.connect("a", "alice");
    const bob = await script.connect("b", "bob");
    for (const room of ["binary", "chat.8"]) await script.join(bob, room);
    const bytes = new Uint8Array([0, 1, 127, 128, 255]);
    const found = {};
    for (const [name, payload] of [
      ["payload", bytes],
      ["empty payload", new Uint8Array()],
    ]) {
      const heard = next(bob, "message");
      const ack = await script.say(alice, "binary", payload);
      const [said] = (await heard) ?? [];
      found[name] = { ack: ack.ok, heard: said && hex(said.payload) };
    }
    const nested = next(bob, "message");
    await script.say(alice, "binary", { name: "a.bin", parts: [bytes, { deep: new Uint8Array([9]) }] });
    const [{ payload }] = (await nested) ?? [{}];
    found.nested = payload && [payload.name, hex(payload.parts[0]), hex(payload.parts[1].deep)];
    const event = next(bob, "chat message");
    const ack = await alice.timeout(PATIENCE).emitWithAck("chat message", 8, bytes, { file: new Uint8Array([7, 8]) });
    const args = await event;
    found.event = args && { ack: ack.ok, args: [args[0], hex(args[1]), hex(args[2].file)] };
    return found;
  },

  async namespaces(script) {
    const alice = await script.connect("a", "alice");
    const token = await script.control("token", { user: "alice", kind: "good" });
    const admin = alice.io.socket("/admin", { auth: { token } });
    admin.connect();
    if (!(await next(admin, "connect"))) throw new Error("/admin does not connect");
    const bob = await script.connect("b", "bob");
    const boss = await script.connect("b", "bob", { namespace: "/admin" });
    await script.join(alice, "same");
    await script.join(admin, "same");
    const [main, apart] = [script.heard(alice), script.heard(admin)];
    await script.say(bob, "same", "main");
    await script.say(boss, "same", "admin");
    await until(() => main.length && apart.length);
    await wait(QUIET);
    const ids = alice.id !== admin.id;
    admin.disconnect();
    await script.say(bob, "same", "still");
    await until(() => main.includes("still"));
    return { "ids differ": ids, main, admin: apart, "the other stays": alice.connected };
  },

  async volatile(script) {
    const alice = await script.connect("a", "alice");
    const bob = await script.connect("b", "bob");
    await script.join(bob, "volatile");
    const heard = script.heard(bob);
    await until(() => alice.io.engine.transport.name === script.settings.transports.at(-1), 3000);
    alice.volatile.emit("message", { room: "volatile", payload: "here" });
    await until(() => heard.length);
    await script.control("cut", { side: "a", to: "none" });
    await until(() => !alice.connected);
    // In the first moment the client still takes the transport that broke for a writable one, and keeps the event.
    await wait(QUIET);
    alice.volatile.emit("message", { room: "volatile", payload: "dropped" });
    alice.emit("message", { room: "volatile", payload: "kept" });
    await script.control("route", { side: "a", to: 1 });
    await until(() => heard.length > 1);
    await wait(QUIET);
    return { heard };
  },

  async reconnect(script) {
    const alice = await script.connect("a", "alice");
    const bob = await script.connect("b", "bob");
    await script.join(alice, "live");
    const heard = script.heard(alice);
    const { id } = alice;
    const gone = next(alice, "disconnect");
    const back = next(alice, "connect");
    await script.control("cut", { side: "a", to: 1 });
    const [reason] = (await gone) ?? [];
    const returned = Boolean(await back);
    await script.say(bob, "live", "later");
    await wait(QUIET);
    const kept = heard.length === 1;
    if (!kept) await script.join(alice, "live");
    await script.say(bob, "live", "joined again");
    await until(() => heard.includes("joined again"));
    const again = heard.includes("joined again");
    return {
      reason,
      returned,
      recovered: Boolean(alice.recovered),
      "same id": alice.id === id,
      "rooms kept": kept,
      again,
    };
  },

  async recovery(script) {
    const alice = await script.connect("a", "alice");
    const bob = await script.connect("b", "bob");
    await script.join(alice, "kept.room");
    const heard = script.heard(alice);
    alice.on("connect", () => heard.push("connect"));
    await script.say(bob, "kept.room", 1);
    await until(() => heard.length);
    const { id } = alice;
    const gone = next(alice, "disconnect");
    await script.control("cut", { side: "a", to: "none" });
    await gone;
    for (const number of [2, 3]) await script.say(bob, "kept.room", number);
    const back = next(alice, "connect");
    await script.control("route", { side: "a", to: 2 });
    const returned = Boolean(await back);
    await script.say(bob, "kept.room", 4);
    await until(() => heard.includes(4), 1000);
    await script.control("route", { side: "a", to: 1 });
    return { returned, recovered: Boolean(alice.recovered), heard, "same id": alice.id === id };
  },

  async backend(script) {
    const bob = await script.connect("b", "bob");
    await script.join(bob, "backend");
    const heard = next(bob, "price");
    await script.control("emit", { room: "backend", event: "price", args: JSON.stringify(["ACME", { bid: 1.5 }]) });
    return { args: await heard };
  },

  async "too large"(script) {
    const alice = await script.connect("a", "alice");
    await until(() => alice.io.engine.transport.name === script.settings.transports.at(-1), 3000);
    const gone = next(alice, "disconnect");
    const back = next(alice, "connect");
    alice.emit("message", { room: "large", payload: "x".repeat(100_000) });
    const [reason] = (await gone) ?? [];
    // Either reason, as the answer or the reset comes first.
    return { "transport ends": /^transport (close|error)$/.test(reason), returned: Boolean(await back) };
  },

  async "disconnected by the server"(script) {
    const dave = await script.connect("a", "dave");
    const gone = next(dave, "disconnect");
    await script.control("disconnect", { user: "dave" });
    const [reason] = (await gone) ?? [];
    const returned = await next(dave, "connect", 1500);
    return { reason, returned: Boolean(returned), "tries again": dave.active };
  },

  async "disconnected by the client"(script) {
    const alice = await script.connect("a", "alice");
    const gone = next(alice, "disconnect");
    alice.disconnect();
    const [reason] = (await gone) ?? [];
    alice.connect();
    return { reason, "connect() returns": Boolean(await next(alice, "connect")) };
  },

  async "a node stops"(script) {
    const alice = await script.connect("a", "alice");
    const bob = await script.connect("b", "bob");
    await until(() => alice.io.engine.transport.name === script.settings.transports.at(-1), 3000);
    const gone = next(alice, "disconnect");
    const back = next(alice, "connect");
    await script.control("stop", { side: "a", to: 2 });
    const [reason] = (await gone) ?? [];
    const since = Date.now();
    const returned = Boolean(await back);
    const soon = Date.now() - since < 3000;
    return { reason, returned, "within 3 s": soon, "the other node's client stays": bob.connected };
  },
};

/** Runs all steps, or those that are named. Returns what each of them found. */
export async function run(io, settings) {
  const found = {};
  for (const [name, step] of Object.entries(STEPS)) {
    if (settings.steps && !settings.steps.includes(name)) continue;
    const script = new Script(io, settings);
    try {
      found[name] = await step(script);
    } catch (error) {
      found[name] = { failed: String(error.message ?? error) };
    }
    for (const socket of script.sockets) socket.disconnect();
  }
  return found;
}
