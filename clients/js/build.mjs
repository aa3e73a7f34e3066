// Builds what is shipped: ESM, CJS and one file for a <script>, their types, and the demo page's copy.

import { execFileSync } from "node:child_process";
import { copyFileSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const dist = join(here, "dist");
export const entries = { index: join(here, "src/index.ts"), reconnecting: join(here, "src/reconnecting.ts") };
// What is ours alone gets short names; the types do not mention it.
export const common = { bundle: true, target: "es2022", platform: "neutral", mangleProps: /^_/, logLevel: "warning" };

async function main() {
  rmSync(dist, { recursive: true, force: true });
  const entryPoints = entries;
  await build({ ...common, entryPoints, format: "esm", outdir: dist });
  await build({ ...common, entryPoints, format: "cjs", outdir: dist, outExtension: { ".js": ".cjs" } });
  const whole = [entries.index];
  const minified = { ...common, entryPoints: whole, minify: true };
  await build({ ...minified, format: "iife", globalName: "Forestay", outfile: join(dist, "forestay.iife.js") });
  execFileSync(process.execPath, [join(here, "node_modules/typescript/bin/tsc"), "-p", here], { stdio: "inherit" });
  const demo = join(here, "../../app/edge/demo/forestay.js");
  await build({ ...minified, format: "esm", outfile: demo });
}

await main();
