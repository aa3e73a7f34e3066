import { defineConfig } from "vitest/config";

// The clock of one test is not to be another's: files run one after the other, in little memory.
export default defineConfig({ test: { include: ["tests/**/*.test.ts"], testTimeout: 10_000, fileParallelism: false } });
