// React: rooms as hooks. A room is joined while a component uses it, and it makes no difference how many do.

import {
  createContext,
  createElement,
  type ReactElement,
  type ReactNode,
  useCallback,
  useContext,
  useEffect,
  useMemo,
  useSyncExternalStore,
} from "react";
import type { Client, ClientState } from "./client.js";
import type { Position, PresencePage } from "./frames.js";
import type { Message, PublishOptions, Room, RoomState } from "./room.js";

export interface Connection {
  /** `connecting` before anything has begun, too: on a server, and in the first render. */
  state: ClientState;
  /** Who we are, once connected. */
  user?: string | undefined;
  /** Why there is no connection. */
  error?: Error | undefined;
}

export interface RoomOptions {
  /** So many messages of the room's history come first, and again where messages were lost. Default 0. */
  history?: number;
  /** So many messages are kept, the newest. Default 100. */
  limit?: number;
}

export interface RoomView<T> {
  /** `joining` before anything has begun, too. `left` where there is no name, and where we may not be in the room. */
  state: RoomState;
  /** Oldest first. */
  messages: readonly Message<T>[];
  /** Why we are not in the room, or why its history could not be read. */
  error?: Error | undefined;
  /** The room of the client; not set where there is no name. */
  room: Room<T> | undefined;
  /** As `room.publish`, and always the same function. */
  publish(payload: T, options?: PublishOptions): Promise<Partial<Position>>;
}

export interface Presence {
  /** At most about a thousand. */
  members: PresencePage["members"];
  /** How many users are in the room. */
  users: number;
  /** Why it cannot be read. */
  error?: Error | undefined;
  /** Read it anew. */
  refresh(): void;
}

const MOST_MEMBERS = 1_000;

type Listener = () => void;

/** What React reads, and listens to. It runs while somebody listens, and what comes later changes nothing. */
interface Store<S> {
  _now(): S;
  _idle: S;
  _listen(listener: Listener): Listener;
}

const makeStore = <S extends object>(idle: S, start: (set: (change: Partial<S>) => void) => Listener): Store<S> => {
  const listeners = new Set<Listener>();
  let now = idle;
  let run = 0;
  let stop: Listener | undefined;
  return {
    _now: () => now,
    _idle: idle,
    _listen(listener) {
      // A function that listens twice counts twice.
      const tell = () => listener();
      listeners.add(tell);
      const mine = run;
      stop ??= start((change) => {
        if (mine !== run) return;
        now = { ...now, ...change };
        listeners.forEach((each) => each());
      });
      return () => {
        listeners.delete(tell);
        // Not at once: StrictMode mounts everything twice, and the next page may need what this one had.
        setTimeout(() => {
          if (listeners.size) return;
          stop?.();
          stop = undefined;
          run++;
          now = idle;
        });
      };
    },
  };
};

const useStore = <S>(store: Store<S>, listen = store._listen): S =>
  useSyncExternalStore(listen, store._now, () => store._idle);

const newest = <M>(messages: readonly M[], limit: number): M[] => messages.slice(-limit || Infinity);

/** One for each client, and by name. */
const once = <V>(make: (client: Client, name: string) => V) => {
  const clients = new WeakMap<Client, Map<string, V>>();
  return (client: Client, name: string): V => {
    const values = clients.get(client) ?? new Map<string, V>();
    clients.set(client, values);
    const value = values.get(name) ?? make(client, name);
    values.set(name, value);
    return value;
  };
};

const connectionOf = once((client) =>
  makeStore<Connection>({ state: "connecting" }, (set) => {
    const show = (): void => set({ state: client.state, user: client.user, error: client.error });
    const stop = [client.on("state", show), client.on("waiting", show)];
    try {
      client.connect();
    } catch {
      // It is the client's `error`, too.
    }
    show();
    return () => {
      stop.forEach((off) => off());
      client.disconnect();
    };
  }),
);

interface Shown {
  state: RoomState;
  messages: readonly Message<any>[];
  error?: Error | undefined;
}

const roomOf = once((client, name) => {
  let history = 0;
  let limit = 0;
  let reload: Listener | undefined;
  const store = makeStore<Shown>({ state: "joining", messages: [] }, (set) => {
    const room = client.room<any>(name);
    // A room that somebody else has joined is not ours to leave.
    const isOurs = room.state === "left";
    const load = async (): Promise<void> => {
      try {
        const { epoch, messages: past } = await room.history({ limit: history });
        const last = past.at(-1)?.offset ?? 0;
        const live = store._now().messages.filter((message) => message.epoch === epoch && message.offset! > last);
        set({ messages: newest([...past.map((message) => ({ ...message, epoch })), ...live], limit) });
      } catch (error) {
        set({ error: error as Error });
      }
    };
    reload = () => {
      if (history && room.state === "joined") load();
    };
    const stop = [
      room.on("message", (message) => set({ messages: newest([...store._now().messages, message], limit) })),
      room.on("joined", ({ recovered }) => recovered || reload!()),
      room.on("resync", reload),
      room.on("state", ({ state, code, reason }) => {
        let error = client.state === "disconnected" ? client.error : undefined;
        if (state === "left" && code)
          error = Object.assign(new Error(reason ?? `${code}`), { name: "RefusedError", code });
        set({ state, error });
      }),
    ];
    const join = room.join();
    set({ state: room.state });
    join.catch((error) => set({ error }));
    return () => {
      stop.forEach((off) => off());
      history = limit = 0;
      if (isOurs) room.leave().catch(noop);
    };
  });
  return {
    ...store,
    _use(listener: Listener, more: number, most: number): Listener {
      const isMore = more > history;
      history = Math.max(history, more);
      limit = Math.max(limit, most, more);
      const stop = store._listen(listener);
      if (isMore) reload?.();
      return stop;
    },
  };
});

interface Known {
  members: PresencePage["members"];
  users: number;
  error?: Error | undefined;
  refresh: Listener;
}

const noop = (): void => {};
const EMPTY = { state: "left" as RoomState, messages: [], members: [], users: 0, refresh: noop };
/** Where there is no name. */
const NOTHING = makeStore(EMPTY, () => noop);

const presenceOf = once((client, name) =>
  makeStore<Known>(EMPTY, (set) => {
    const room = client.room(name);
    let members = new Map<string, PresencePage["members"][number]>();
    /** Users of the room that were not read. */
    let others = 0;
    /** What is told while the pages come, which may be older. */
    let news: Listener[] = [];
    let reads = 0;
    const show = (): void => set({ members: [...members.values()], users: members.size + others, error: undefined });
    const read = async (page?: PresencePage): Promise<void> => {
      const turn = ++reads;
      news = [];
      try {
        page ??= await room.presence();
        const found = [...page.members];
        while (page.next && found.length < MOST_MEMBERS) {
          page = await room.presence({ after: page.next });
          found.push(...page.members);
        }
        if (turn !== reads) return;
        members = new Map(found.map((member) => [member.user, member]));
        others = page.users - found.length;
        news.forEach((apply) => apply());
        show();
      } catch (error) {
        if (turn === reads) set({ error: error as Error });
      }
    };
    const refresh = (): void => {
      if (room.state === "joined") read();
    };
    const tell = (apply: Listener): void => {
      news.push(apply);
      apply();
      show();
    };
    const stop = [
      room.on("joined", ({ members: page }) => read(page)),
      room.on("user-joined", (member) => tell(() => members.set(member.user, { connections: 1, ...member }))),
      room.on("user-left", ({ user }) => tell(() => members.delete(user))),
      // Being in the room is what makes it tell who comes and goes.
      roomOf(client, name)._use(noop, 0, 0),
    ];
    set({ refresh });
    refresh();
    return () => stop.forEach((off) => off());
  }),
);

const Context = createContext<Client | undefined>(undefined);

/** Connects `client` while it is mounted, and gives it to the hooks below it. */
export const ForestayProvider = ({ client, children }: { client: Client; children?: ReactNode }): ReactElement => {
  useEffect(() => connectionOf(client, "")._listen(noop), [client]);
  return createElement(Context.Provider, { value: client }, children);
};

/** The client of the `ForestayProvider` above. */
export const useClient = (): Client => {
  const client = useContext(Context);
  if (client) return client;
  throw new Error("no <ForestayProvider> is above this component");
};

/** Whether there is a connection, for whom, and why not. */
export const useConnection = (): Connection => useStore(connectionOf(useClient(), ""));

/** Be in the room while this component is mounted; nowhere while `name` is empty or not set. */
export const useRoom = <T = unknown>(name: string | null | undefined, options: RoomOptions = {}): RoomView<T> => {
  const { history = 0, limit = Math.max(100, history) } = options;
  const client = useClient();
  const store = name ? roomOf(client, name) : undefined;
  const listen = useCallback(
    (listener: Listener) => store?._use(listener, history, limit) ?? noop,
    [store, history, limit],
  );
  const shown = useStore<Shown>(store ?? NOTHING, listen);
  const messages = useMemo(() => newest(shown.messages, limit), [shown.messages, limit]);
  const own = useMemo(() => {
    const room = name ? client.room<T>(name) : undefined;
    const publish: RoomView<T>["publish"] = async (payload, how) => {
      if (room) return room.publish(payload, how);
      throw new Error("useRoom: no name");
    };
    return { room, publish };
  }, [client, name]);
  return { ...shown, messages, ...own };
};

/** Who is in the room, which is joined for it. The room needs presence, and `join_leave` to tell changes. */
export const usePresence = (name: string | null | undefined): Presence => {
  const client = useClient();
  return useStore<Known>(name ? presenceOf(client, name) : NOTHING);
};
