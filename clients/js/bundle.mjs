// How the sources become bundles: said once, for what is shipped and for what is weighed.

import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { minify } from "terser";

const source = (name) => fileURLToPath(new URL(`src/${name}.ts`, import.meta.url));

/** What React Server Components have to know of a module with hooks. A bundler drops it, so it comes last. */
const DIRECTIVES = { react: '"use client";' };

/**
 * One file by name of each entry, minified. Names that begin with `_` are between our modules: they get short ones, and
 * the types do not mention them. What esbuild leaves is a twentieth more than what there is to say; terser finds it.
 */
export const bundle = async (names, options) => {
  const { outputFiles, metafile } = await build({
    bundle: true,
    entryPoints: names.map(source),
    target: "es2022",
    platform: "neutral",
    // The one of the application.
    external: ["react"],
    mangleProps: /^_/,
    minify: true,
    metafile: true,
    write: false,
    outdir: ".",
    logLevel: "warning",
    ...options,
  });
  const terse = { module: options.format === "esm", ecma: 2022, compress: { passes: 3 } };
  const codes = await Promise.all(outputFiles.map(({ text }) => minify(text, terse)));
  const modules = Object.values(metafile.outputs).map(({ inputs }) => inputs);
  return names.map((name, index) => ({
    name,
    code: `${DIRECTIVES[name] ?? ""}${codes[index].code}`,
    modules: modules[index],
  }));
};
