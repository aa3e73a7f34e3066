// One client for the page, above everything that uses it. It connects when the page is there.

import { Client } from "forestay";
import { ForestayProvider } from "forestay/react";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { Chat } from "./chat.jsx";
import "./style.css";

const client = new Client(import.meta.env.VITE_FORESTAY_URL, {
  async getToken() {
    const response = await fetch("/token", { method: "POST" });
    if (!response.ok) throw new Error(`no token: ${response.status}`);
    return response.text();
  },
});

createRoot(document.getElementById("root")).render(
  <StrictMode>
    <ForestayProvider client={client}>
      <Chat />
    </ForestayProvider>
  </StrictMode>,
);
