// Runs the script in Node, and prints what it found as one line of JSON.
import { io } from "socket.io-client";
import { run } from "./script.mjs";

console.log(JSON.stringify(await run(io, JSON.parse(process.argv[2]))));
process.exit(0);
