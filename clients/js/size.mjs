// Weighs what an application pays for the package, and fails where that is more than we promise.

import { gzipSync } from "node:zlib";
import { bundle } from "./bundle.mjs";

/**
 * Bytes, as shipped and gzipped, with everything that an entry exports. Calls of the application, with a time of their
 * own and an end by AbortSignal, brought 150 to the first and 100 to the second. Errors that say what to do brought 300
 * to the first, the move to the next pod and the rate of messages 330 each.
 */
const PROMISED = { index: 6_240, stream: 4_300, reconnecting: 1_600, react: 1_500 };

let isOver = false;
for (const { name, code, modules } of await bundle(Object.keys(PROMISED), { format: "esm" })) {
  const most = PROMISED[name];
  const size = gzipSync(code, { level: 9 }).length;
  isOver ||= size > most;
  console.log(`${name}: ${size} of ${most} bytes gzipped, ${code.length} minified`);
  for (const [module, { bytesInOutput }] of Object.entries(modules)) console.log(`  ${bytesInOutput}\t${module}`);
}
process.exitCode = isOver ? 1 : 0;
