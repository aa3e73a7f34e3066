// Builds what is shipped: ESM, CJS and one file for a <script>, with types for each, and the copy of the demo page.

import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { bundle } from "./bundle.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));
const dist = join(here, "dist");
// The page is part of the gateway, whose build has no Node. So the copy of the client is in the tree.
const demoCopy = join(here, "../../app/forestay/web/demo/forestay.js");

rmSync(dist, { recursive: true, force: true });
mkdirSync(dist);
for (const [format, extension] of [
  ["esm", "js"],
  ["cjs", "cjs"],
]) {
  for (const { name, code } of await bundle(["index", "stream", "reconnecting", "react"], { format })) {
    writeFileSync(join(dist, `${name}.${extension}`), code);
  }
}
for (const [entry, file, globalName] of [
  ["index", "forestay", "Forestay"],
  ["stream", "forestay-stream", "ForestayStream"],
]) {
  const [script] = await bundle([entry], { format: "iife", globalName });
  writeFileSync(join(dist, `${file}.iife.js`), script.code);
}
execFileSync(process.execPath, [join(here, "node_modules/typescript/bin/tsc"), "-p", here], { stdio: "inherit" });
for (const name of readdirSync(dist).filter((file) => file.endsWith(".d.ts"))) {
  const types = readFileSync(join(dist, name), "utf8");
  // Of a module that is ours alone, nothing is left to declare.
  if (types.trim() === "export {};") rmSync(join(dist, name));
  else writeFileSync(join(dist, name.replace(".d.ts", ".d.cts")), types.replaceAll('.js"', '.cjs"'));
}

copyFileSync(join(dist, "index.js"), demoCopy);
