import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const oldest = (name: string) => fileURLToPath(new URL(`tests/react18/node_modules/${name}`, import.meta.url));

// The clock of one test is not to be another's: files run one after the other, in little memory. Those of React run on
// the oldest one, too.
export default defineConfig({
  test: {
    testTimeout: 10_000,
    fileParallelism: false,
    projects: [
      { extends: true, test: { name: "client", include: ["tests/**/*.test.ts"] } },
      {
        extends: true,
        test: { name: "react 18", include: ["tests/react*.test.ts"] },
        resolve: { alias: { react: oldest("react"), "react-dom": oldest("react-dom") } },
      },
    ],
  },
});
