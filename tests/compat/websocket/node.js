// Runs libraries in Node, where a WebSocket comes from a package: node node.js URL NAME "NAME over TRANSPORT,TRANSPORT" …
// It prints what became of each, in lines of JSON.
import { WebSocket } from "ws";

globalThis.WebSocket = WebSocket;
const [at, ...cases] = process.argv.slice(2);
const { default: Realtime } = await import("../../../client-js/dist/realtime.mjs");
const { run } = await import("./libraries.js");

/** The class as it is, or with these transports. */
const over = (transports) => class extends Realtime {
  constructor(url) {
    super(url, { transports });
  }
};

for (const one of cases) {
  const [name, transports] = one.split(" over ");
  console.log(JSON.stringify(await run(name, transports ? over(transports.split(",")) : Realtime, at)));
}
process.exit(0);
