// How the sources become bundles: said once, for what is shipped and for what is weighed.

import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const source = (name) => fileURLToPath(new URL(`src/${name}.ts`, import.meta.url));

/** Names that begin with `_` are between our modules: they get short ones, and the types do not mention them. */
export const bundle = (names, options) =>
  build({
    bundle: true,
    entryPoints: names.map(source),
    target: "es2022",
    platform: "neutral",
    mangleProps: /^_/,
    logLevel: "warning",
    ...options,
  });
