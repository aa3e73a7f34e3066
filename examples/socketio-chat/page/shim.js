// What the page needs besides: where the gateway is, and a token for it. It comes after socket.io.js and before the client.
// `auth` is a function, so each connection gets a token of its own; one that is old is never sent again.
const connect = window.io;
const gateway = document.currentScript.dataset.gateway;

window.io = (options) =>
  connect(gateway, {
    auth: (give) => {
      fetch("/token", { method: "POST" })
        .then((answer) => (answer.ok ? answer.text() : ""))
        .catch(() => "")
        .then((token) => give({ token }));
    },
    ...options,
  });
