// The client of the chat, as it was written for a server on `socket.io`. It is the same before and after the move.
const entrance = document.getElementById("entrance");
const main = document.querySelector("main");
const state = document.getElementById("state");
const messages = document.getElementById("messages");
const typing = document.getElementById("typing");
const form = document.getElementById("form");
const text = document.getElementById("text");

entrance.addEventListener("submit", (event) => {
  event.preventDefault();
  entrance.hidden = true;
  main.hidden = false;
  enter(document.getElementById("nickname").value);
});

function enter(nickname) {
  const socket = io();
  let room = "general";
  let lastTyped = 0;
  let quiet;

  socket.on("connect", () => {
    state.textContent = socket.recovered ? "back, and nothing was missed" : "connected";
    if (!socket.recovered) {
      join();
    }
  });
  socket.on("disconnect", () => {
    state.textContent = "connection lost, trying again";
  });
  socket.on("connect_error", (error) => {
    state.textContent = `cannot connect: ${error.message}`;
  });

  socket.on("chat message", (message) => {
    if (message.room === room) {
      show(`${message.nickname}: ${message.text}`);
      typing.textContent = "";
    }
  });
  socket.on("typing", (who) => {
    if (who.room === room) {
      typing.textContent = `${who.nickname} is typing`;
      clearTimeout(quiet);
      quiet = setTimeout(() => {
        typing.textContent = "";
      }, 3000);
    }
  });
  socket.on("user-joined", (news) => {
    if (news.room === room) {
      show("somebody came in", "news");
    }
  });

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (text.value) {
      socket.emit("chat message", { room, nickname, text: text.value });
      text.value = "";
    }
  });
  text.addEventListener("input", () => {
    if (Date.now() - lastTyped > 1000) {
      lastTyped = Date.now();
      socket.volatile.emit("typing", { room, nickname });
    }
  });
  document.getElementById("rooms").addEventListener("click", (event) => {
    const next = event.target.dataset.room;
    if (next && next !== room) {
      socket.emit("leave-room", room);
      room = next;
      messages.replaceChildren();
      join();
    }
  });

  function join() {
    socket.emit("join-room", room, (answer) => {
      show(answer.ok ? `you are in ${room}` : `you may not join ${room}: ${answer.message}`, "news");
    });
    for (const button of document.querySelectorAll("#rooms button")) {
      button.setAttribute("aria-current", String(button.dataset.room === room));
    }
  }
}

function show(line, kind = "") {
  const item = document.createElement("li");
  item.className = kind;
  item.textContent = line;
  messages.append(item);
  item.scrollIntoView();
}
