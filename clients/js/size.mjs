// Weighs what an application pays for the package, and fails where that is more than we promise.

import { gzipSync } from "node:zlib";
import { bundle } from "./bundle.mjs";

/**
 * Bytes, as shipped and gzipped, with everything that an entry exports. What leaves the first where a feature is taken
 * out: texts of errors 370, with what finds out what to say; the move to the next pod 330, rates and lists of joins 330,
 * refusing what is no JSON 200, why a handshake was refused 180, binary messages 180, `for await` 130, calls 90.
 */
const PROMISED = { index: 6_200, stream: 4_150, reconnecting: 1_600, react: 1_500 };

let isOver = false;
for (const { name, code, modules } of await bundle(Object.keys(PROMISED), { format: "esm" })) {
  const most = PROMISED[name];
  const size = gzipSync(code, { level: 9 }).length;
  isOver ||= size > most;
  console.log(`${name}: ${size} of ${most} bytes gzipped, ${code.length} minified`);
  for (const [module, { bytesInOutput }] of Object.entries(modules)) console.log(`  ${bytesInOutput}\t${module}`);
}
process.exitCode = isOver ? 1 : 0;
