// Parses an AsyncAPI document, and prints each diagnosis as a line of JSON. Ends with 1 where there is an error.
import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";

const { document, diagnostics } = await new Parser().parse(readFileSync(process.argv[2], "utf-8"));
for (const { code, message, path, severity } of diagnostics) {
  console.log(JSON.stringify({ code, message, path, severity }));
}
process.exit(document && document.version() === "3.0.0" ? 0 : 1);
