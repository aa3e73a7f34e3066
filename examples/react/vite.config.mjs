import { fileURLToPath } from "node:url";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const client = here("../../clients/js/src");

export default defineConfig({
  root: here("page"),
  plugins: [react()],
  // All addresses that are no file are 404: this is one page, and no router.
  appType: "mpa",
  logLevel: "warn",
  optimizeDeps: { include: ["react", "react-dom/client", "react/jsx-dev-runtime"] },
  // In this tree the client is its sources. An application of yours installs `forestay`, and needs nothing from here on.
  resolve: {
    alias: [
      { find: /^forestay$/, replacement: `${client}/index.ts` },
      { find: /^forestay\/react$/, replacement: `${client}/react.ts` },
    ],
    // The sources are outside of this folder, and React is to be there once.
    dedupe: ["react"],
  },
  server: { fs: { allow: [here("page"), here("node_modules"), client] } },
});
