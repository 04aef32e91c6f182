"use strict";
/* Clients of other protocols, and our own for JavaScript: each sends numbers and expects them back, in one session after
 * the other, until standard input ends. node strangers.cjs '{"urls":["http://…"],"clients":["sockjs websocket"],"seed":1}'
 * Prints one line of JSON for each session. */
const path = require("path");
const compat = path.join(__dirname, "..", "compat");
const plan = JSON.parse(process.argv[2]);
let leaving = false;
const open = new Set();

let state = plan.seed >>> 0 || 1;
function random(below) {
  state ^= state << 13; state >>>= 0;
  state ^= state >>> 17;
  state ^= state << 5; state >>>= 0;
  return state % below;
}

const WebSocket = require(path.join(compat, "websocket/node_modules/ws"));
globalThis.WebSocket ??= WebSocket; // Node has one since 22
const { default: Realtime } = require(path.join(__dirname, "../../client-js/dist/realtime.cjs"));
const page = require("./page.cjs");
const BY_PAGES = ["jsonp", "htmlfile"]; // only these run them

/** Of the clock that time.monotonic() of Python reads (on Linux): what is told late is not taken for late. */
function now() {
  return Number(process.hrtime.bigint()) / 1e9;
}

/* How each library is opened, sent with and closed: connect(url, transport, on) -> { send, close }. */
const LIBRARIES = {
  javascript(url, transport, on, endpoint = "count") {
    const world = BY_PAGES.includes(transport) ? page(url + "/") : { Realtime, close() {} };
    const session = new world.Realtime(url + "/realtime/" + endpoint, { transports: [transport] });
    session.onopen = on.open;
    session.onmessage = (event) => on.message(event.data);
    session.onclose = (event) => {
      on.close(event.code, event.reason, session.unacknowledged.length);
      world.close();
    };
    return { send: (text) => session.send(text), close: () => session.close() };
  },
  durable(url, transport, on) {
    return LIBRARIES.javascript(url, transport, on, "durable");
  },
  sockjs(url, transport, on) {
    const SockJS = require(path.join(compat, "sockjs/node_modules/sockjs-client"));
    const socket = new SockJS(url + "/realtime/count", null, { transports: [transport] });
    socket.onopen = on.open;
    socket.onmessage = (event) => on.message(event.data);
    socket.onclose = (event) => on.close(event.code, event.reason);
    return { send: (text) => socket.send(text), close: () => socket.close() };
  },
  engineio(url, transport, on) {
    const { Socket } = require(path.join(compat, "engineio/node_modules/engine.io-client-v6"));
    const socket = new Socket(url, { path: "/engine.io/", transports: transport.split("+") });
    socket.on("open", on.open);
    socket.on("message", on.message);
    let failed = "";
    socket.on("error", (error) => { failed = `${error.message} ${error.description}`; });
    socket.on("close", (why) => on.close(1006, `${why} ${failed}`));
    return { send: (text) => socket.send(text), close: () => socket.close() };
  },
  raw(url, transport, on) {
    const socket = new WebSocket(url.replace("http", "ws") + "/realtime/count");
    socket.on("open", on.open);
    socket.on("message", (data) => on.message(String(data)));
    socket.on("error", () => {});
    socket.on("close", (code, reason) => on.close(code, String(reason)));
    return { send: (text) => socket.send(text), close: () => socket.close() };
  },
};

function live(kind, transport, url) {
  const told = { client: kind, transport, owner: "", opened: now(), sent: 0, received: 0, asked: false, code: null, problems: [] };
  const most = 20 + random(200);
  const durable = kind === "durable";
  if (durable) Object.assign(told, { client: "javascript", times: [], answers: [] });
  let ended = false, opened = false;
  let leave;
  const say = () => {
    if (ended || told.asked) return;
    if (told.sent < most && !leaving) {
      for (let count = 1 + random(3); count > 0; count--) {
        if (durable) told.times.push(now());
        socket.send(String(++told.sent));
      }
      setTimeout(say, random(4) * 40);
    } else leave();
  };
  leave = () => {
    if (!ended && !told.asked && (told.owner || !durable) && told.received >= told.sent && (leaving || told.sent >= most)) {
      told.asked = true;
      socket.close();
    }
  };
  leave.tell = () => {
    told.ended = now();
    if (told.owner || (durable && opened)) console.log(JSON.stringify(told)); // else it was never open
  };
  leave.stuck = () => {
    told.why = "it does not end";
    if (durable) leave.tell();
  };
  const socket = LIBRARIES[kind](url, transport, {
    open: () => {
      opened = true;
      say();
    },
    message: (text) => {
      if (durable && !text.startsWith("at ")) {
        const [number, by] = text.split(" by ");
        told.answers.push([now(), by]);
        text = number;
      }
      if (text.startsWith("at ")) {
        if (told.owner) told.problems.push("a second handler: " + text);
        told.owner = text.slice(3);
      } else if (text !== String(told.received + 1)) {
        told.problems.push(JSON.stringify(text) + " came where " + (told.received + 1) + " should have");
      } else told.received += 1;
      leave();
    },
    close: (code, why, unsent) => {
      if (ended) return;
      ended = true;
      open.delete(leave);
      told.code = told.asked ? null : code;
      told.why = why || "";
      told.unsent = unsent || 0;
      leave.tell();
      if (!leaving) setTimeout(() => live(kind, transport, url), 50 + random(200));
      else if (!open.size) process.exit(0);
    },
  });
  open.add(leave);
}

plan.clients.forEach((client, number) => {
  const [kind, transport] = client.split(" ");
  live(kind, transport, plan.urls[number % plan.urls.length]);
});
process.stdin.resume();
process.stdin.on("end", () => {
  leaving = true;
  for (const leave of open) leave();
  if (!open.size) process.exit(0);
  setTimeout(() => {
    for (const leave of open) leave.stuck();
    process.exit(0);
  }, 45000);
});
