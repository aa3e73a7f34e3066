// The chat. Three components use the same room, which is joined once, and left when none of them shows it any more.

import { useConnection, usePresence, useRoom } from "forestay/react";
import { useEffect, useRef, useState } from "react";

const ROOMS = ["general", "random"];
const STATES = { connecting: "Connecting.", connected: "Connected.", disconnected: "Disconnected." };

export function Chat() {
  const [topic, setTopic] = useState(ROOMS[0]);
  const room = `chat.${topic}`;
  return (
    <>
      <header>
        <h1>Chat</h1>
        <State />
      </header>
      <nav aria-label="Rooms">
        {ROOMS.map((each) => (
          <button key={each} type="button" aria-current={each === topic} onClick={() => setTopic(each)}>
            {each}
          </button>
        ))}
      </nav>
      <main>
        <section aria-labelledby="talk">
          <h2 id="talk">{topic}</h2>
          <Messages room={room} />
          <Composer room={room} />
        </section>
        <People room={room} />
      </main>
    </>
  );
}

function State() {
  const { state, user, error } = useConnection();
  return (
    <>
      <p id="state" role="status">
        {STATES[state]}
      </p>
      <p id="user">{user ? `You are ${user}.` : error?.message}</p>
    </>
  );
}

function Messages({ room }) {
  const { messages, state, error } = useRoom(room, { history: 50 });
  const list = useRef(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: it scrolls when there is something new
  useEffect(() => {
    list.current.scrollTop = list.current.scrollHeight;
  }, [messages]);
  return (
    <>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to scroll with keys, too */}
      <div ref={list} role="log" aria-label="Messages" tabIndex={0} data-state={state}>
        <ol>
          {messages.map(({ epoch, offset, from, payload }) => (
            <li key={`${epoch}-${offset}`}>
              <b>{from}</b> <span>{payload.text}</span>
            </li>
          ))}
        </ol>
      </div>
      <p role="alert">{error?.message}</p>
    </>
  );
}

function Composer({ room }) {
  const { publish, state } = useRoom(room);
  const [text, setText] = useState("");
  const [error, setError] = useState("");

  async function send(event) {
    event.preventDefault();
    try {
      setError("");
      await publish({ text });
      setText("");
    } catch (failure) {
      setError(`Not sent: ${failure.message}`);
    }
  }

  return (
    <form onSubmit={send}>
      <label htmlFor="text">Message</label>
      <input
        id="text"
        value={text}
        maxLength={2000}
        autoComplete="off"
        onChange={(event) => setText(event.target.value)}
      />
      <button type="submit" disabled={state !== "joined" || !text.trim()}>
        Send
      </button>
      <p role="alert">{error}</p>
    </form>
  );
}

function People({ room }) {
  const { members, users, error } = usePresence(room);
  return (
    <aside aria-labelledby="people">
      <h2 id="people">{users} here</h2>
      <ul>
        {members.map(({ user }) => (
          <li key={user}>{user}</li>
        ))}
      </ul>
      <p role="alert">{error?.message}</p>
    </aside>
  );
}
