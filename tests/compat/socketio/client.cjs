"use strict";
/* Visits of a real socket.io-client, one for each line of JSON that comes, with all that it can do: several namespaces,
 * auth data, refusals, events and acks both ways with bytes in them, rooms, leaving.
 * {"version":4,"url":"http://…","transports":["polling"],"count":50}
 * With "recovery", a list of namespaces: what a client of version 4 has in these, whose connections are lost, until it
 * is told that it is done.
 * Prints a line of JSON: what it has seen. Bytes are shown as {"b": base64}. */
require("node:readline").createInterface({ input: process.stdin }).on("line", (line) => visit(JSON.parse(line)));

function shown(value) {
  if (Buffer.isBuffer(value) || value instanceof ArrayBuffer) return { b: Buffer.from(value).toString("base64") };
  if (Array.isArray(value)) return value.map(shown);
  if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, shown(v)]));
  return value;
}
const ask = (socket, ...args) => new Promise((answer) => socket.emit(...args, (...said) => answer(shown(said))));
const once = (socket, event) => new Promise((come) => socket.once(event, (...args) => come(shown(args))));
// Versions 1 and 2 tell refusals by "error", and have no auth data but the query.
const refused = (socket, old) => new Promise((come) => socket.once(old ? "error" : "connect_error", (error) =>
  come(old ? shown(error) : { message: error.message, data: error.data })));

async function visit(plan) {
  const told = { errors: [], numbers: [] };
  try { await (plan.recovery ? recover : play)(plan, told); } catch (error) { told.failed = String(error.stack); }
  console.log(JSON.stringify(told));
}

// Connects again as soon as it may. Calls are answered, and not told of; of events their offset is not told.
async function recover(plan, told) {
  const io = require("socket.io-client-v4");
  const again = { reconnectionDelay: 5, reconnectionDelayMax: 20, randomizationFactor: 0 };
  const manager = new io.Manager(plan.url, { transports: plan.transports, forceNew: true, ...again });
  told.events = [];
  told.connects = [];
  told.offsets = [];
  await new Promise((done) => {
    for (const name of plan.recovery) {
      const socket = manager.socket(name, { auth: { token: "main" } });
      socket.on("connect", () => told.connects.push([name, Boolean(socket.recovered), socket.id]));
      socket.onAny((event, ...args) => {
        const last = args.pop();
        if (typeof last === "function") return last(told.events.length);
        told.offsets.push(typeof last);
        if (event === "done") return done();
        told.events.push([name, event, ...shown(args)]);
      });
    }
  });
  manager._close();
}

async function play(plan, told) {
  const io = require(`socket.io-client-v${plan.version}`);
  const old = plan.version <= 2;
  const options = { transports: plan.transports, forceNew: true, reconnection: false };
  const manager = new io.Manager(plan.url, { ...options, query: { token: "main" } });
  manager.on("error", (error) => told.errors.push(String(error)));
  const main = manager.socket("/", old ? {} : { auth: { token: "main" } });
  main.on("number", (n) => told.numbers.push(n));
  main.on("ask", (a, b, answer) => answer(b, a));
  main.on("ask bytes", (bytes, answer) => answer({ back: bytes }));
  main.on("ask nothing", (answer) => answer());
  const hello = once(main, "hello");
  await once(main, "connect");
  told.hello = await hello;
  told.own = main.id !== main.io.engine.id;

  told.echo = await ask(main, "echo", 1, plan.text, null, { a: [true] });
  told.bytes = await ask(main, "echo", Buffer.from([1, 2, 3]), { deep: [Buffer.from([]), "x"] });
  told.none = await ask(main, "none");
  told.null = await ask(main, "null");
  told.failed = await ask(main, "raise");
  main.emit("no ack", "x");

  const admin = manager.socket("/admin", old ? { query: "token=1&b=%2C" } : { auth: { token: "1" } });
  const adminHello = once(admin, "hello");
  told.admin = await adminHello;
  told.adminEcho = await ask(admin, "echo", Buffer.from([9]));
  const secret = manager.socket("/secret");
  const refusal = refused(secret, old);
  told.secret = await refusal;
  const unknown = manager.socket("/unknown");
  const invalid = refused(unknown, old);
  told.unknown = await invalid;

  const called = once(main, "called");
  main.emit("call me");
  told.called = await called;
  const said = once(main, "said");
  main.emit("join", "lobby");
  admin.emit("say to main", "lobby", Buffer.from([7]));
  told.said = await said;
  main.emit("count", plan.count);
  while (told.numbers.length < plan.count) await new Promise((turn) => setTimeout(turn, 5));
  for (let n = 0; n < plan.count; n += 1) main.emit("number", n);
  told.counted = await ask(main, "counted");

  const gone = once(admin, "disconnect");
  admin.emit("put me out");
  told.gone = (await gone)[0];
  told.still = await ask(main, "echo", "still");
  told.transport = main.io.engine.transport.name;
  main.disconnect();
  setTimeout(() => (manager.close ? manager.close() : manager.engine.close()), 20);
}
