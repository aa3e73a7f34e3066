// Builds what is shipped: ESM, CJS and one file for a <script>, with types for each, and the copy of the demo page.

import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { bundle } from "./bundle.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));
const dist = join(here, "dist");
const entries = ["index", "reconnecting"];

rmSync(dist, { recursive: true, force: true });
await bundle(entries, { format: "esm", outdir: dist });
await bundle(entries, { format: "cjs", outdir: dist, outExtension: { ".js": ".cjs" } });
const script = join(dist, "forestay.iife.js");
await bundle(["index"], { format: "iife", globalName: "Forestay", minify: true, outfile: script });
execFileSync(process.execPath, [join(here, "node_modules/typescript/bin/tsc"), "-p", here], { stdio: "inherit" });
for (const name of readdirSync(dist).filter((file) => file.endsWith(".d.ts"))) {
  const types = readFileSync(join(dist, name), "utf8");
  // Of a module that is ours alone, nothing is left to declare.
  if (types.trim() === "export {};") rmSync(join(dist, name));
  else writeFileSync(join(dist, name.replace(".d.ts", ".d.cts")), types.replaceAll('.js"', '.cjs"'));
}

// The page is part of the gateway, whose build has no Node.
const page = join(here, "../../app/edge/demo/forestay.js");
await bundle(["index"], { format: "esm", minify: true, outfile: page });
