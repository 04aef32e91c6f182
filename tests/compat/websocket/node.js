// Runs one library in Node, where a WebSocket comes from a package: `node node.js URL NAME TRANSPORTS`. Prints what became of it.
import { WebSocket } from "ws";

globalThis.WebSocket = WebSocket;
const [at, name, transports] = process.argv.slice(2);
const { default: Realtime } = await import("../../../client-js/dist/realtime.mjs");
const { run } = await import("./libraries.js");

/** The class as it is, or with the transports of the test. */
const Class = transports ? class extends Realtime {
  constructor(url) {
    super(url, { transports: transports.split(",") });
  }
} : Realtime;

console.log(JSON.stringify(await run(name, Class, at)));
process.exit(0);
