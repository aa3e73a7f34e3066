// Weighs what an application pays for the package, and fails where that is more than we promise.

import { gzipSync } from "node:zlib";
import { bundle } from "./bundle.mjs";

/** Bytes, minified and gzipped, with everything that an entry exports. */
const PROMISED = { index: 4_650, reconnecting: 1_200 };

let isOver = false;
for (const [name, most] of Object.entries(PROMISED)) {
  const weighed = { format: "esm", minify: true, metafile: true, write: false, outdir: "." };
  const { outputFiles, metafile } = await bundle([name], weighed);
  const [output] = Object.values(metafile.outputs);
  const size = gzipSync(outputFiles[0].contents, { level: 9 }).length;
  isOver ||= size > most;
  console.log(`${name}: ${size} of ${most} bytes gzipped, ${output.bytes} minified`);
  for (const [module, { bytesInOutput }] of Object.entries(output.inputs)) console.log(`  ${bytesInOutput}\t${module}`);
}
process.exitCode = isOver ? 1 : 0;
