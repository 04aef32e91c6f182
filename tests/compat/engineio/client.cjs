"use strict";
/* Sessions of a real engine.io-client, one for each line of JSON that comes: it sends the messages it is given, waits for
 * as many as it is told, closes, and prints a line of JSON.
 * {"version":4,"url":"http://…","path":"/…","transports":["polling"],"send":["a",{"b":"AQ=="}],
 *  "expect":2,"upgraded":false,"upgrades":0}
 * Messages are strings, or {"b": base64}. "upgraded": half of them wait for the upgrade. "upgrades": the end waits for
 * as many. */
require("node:readline").createInterface({ input: process.stdin }).on("line", (line) => play(JSON.parse(line)));

const unpack = (m) => (typeof m === "string" ? m : Buffer.from(m.b, "base64"));
// Both libraries tell an empty text as undefined.
const pack = (m) => (m === undefined ? "" : typeof m === "string" ? m : { b: Buffer.from(m).toString("base64") });

function play(plan) {
  const library = require(plan.version === 4 ? "engine.io-client-v6" : "engine.io-client-v3");
  const connect = library.Socket ? (url, options) => new library.Socket(url, options) : library;

  const socket = connect(plan.url, { path: plan.path, transports: plan.transports, upgrade: plan.transports.length > 1 });
  const told = { received: [], first: "", transport: "", upgrades: 0, upgradeErrors: 0, errors: [], closed: "" };
  const send = (messages) => messages.forEach((m) => socket.send(unpack(m)));
  const half = plan.upgraded ? plan.send.length >> 1 : plan.send.length;

  function check() {
    if (told.received.length >= plan.expect && told.upgrades >= (plan.upgraded ? 1 : plan.upgrades || 0) && !plan.serverCloses) {
      // What comes twice would come now.
      setTimeout(() => { told.transport = socket.transport.name; socket.close(); }, 50);
    }
  }
  socket.on("open", () => { told.first = socket.transport.name; send(plan.send.slice(0, half)); check(); });
  socket.on("upgrade", () => { told.upgrades += 1; send(plan.send.slice(half)); check(); });
  socket.on("upgradeError", () => { told.upgradeErrors += 1; });
  socket.on("message", (m) => { told.received.push(pack(m)); if (told.received.length === plan.expect) check(); });
  socket.on("error", (e) => { told.errors.push(String(e && e.message)); });
  socket.on("close", (why) => { told.closed = why; console.log(JSON.stringify(told)); });
}
