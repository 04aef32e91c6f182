"use strict";
/* Visits of real STOMP clients, one for each line of JSON that comes: {"library":"stompjs","carrier":"websocket",
 * "url":"http://…/stomp","host":"127.0.0.1","port":1,"versions":["1.2"],"binary":false,"login":"ada","foo":"bar","text":"hello"}. Each does the
 * same things, and prints a line of JSON with what it has seen: see test_clients.py. */
const SockJS = require("sockjs-client");
const { WebSocket } = require("ws");

require("node:readline").createInterface({ input: process.stdin }).on("line", (line) => {
  const plan = JSON.parse(line);
  const told = { events: [], error: "" };
  let over = false;
  const end = (error) => {
    if (over) return;
    over = true;
    if (error) told.error = String(error);
    console.log(JSON.stringify(told));
  };
  setTimeout(() => end("nothing happens"), 40000).unref();
  try { LIBRARIES[plan.library](plan, told, end); } catch (error) { end(error); }
});

const Realtime = () => { globalThis.WebSocket ??= WebSocket; return require("../../../client-js/dist/realtime.cjs").default; };
const socket = (plan) =>
  plan.carrier === "realtime" ? new (Realtime())(plan.url, { transports: plan.transports })
    : plan.carrier === "sockjs" ? new SockJS(plan.url, null, { transports: plan.transports })
    : new WebSocket(plan.url.replace("http", "ws"), ["v12.stomp", "v11.stomp", "v10.stomp"]);

/* What each does: a topic with a header, an answer of a handler, a queue whose first message is refused once, a
 * transaction that is kept and one that is not, and a receipt at the end. `api` hides how each library says that. */
function visit(plan, api, told, end) {
  const note = (what, message) => told.events.push([what, message.body, message.headers]);
  let refused = false;
  api.subscribe("/topic/a", {}, (message) => {
    note("topic", message);
    if (message.body !== "committed") api.send("/app/greet", { "reply-to": "/user/queue/me" }, "world");
    else api.disconnect(() => end());
  });
  api.subscribe("/user/queue/me", {}, (message) => {
    note("user", message);
    api.send("/queue/a", { n: "1" }, "work");
  });
  api.subscribe("/queue/a", { ack: "client-individual" }, (message) => {
    note("queue", message);
    if (!refused) { refused = true; api.nack(message); return; }
    api.ack(message);
    for (const [name, body] of [["t1", "aborted"], ["t2", "committed"]]) {
      const transaction = api.begin(name);
      api.send("/topic/a", { transaction: name }, body);
      if (body === "aborted") transaction.abort(); else transaction.commit();
    }
  });
  api.send("/topic/a", { foo: plan.foo || "bar", "content-type": "text/plain" }, plan.text);
}

const LIBRARIES = {
  stompjs(plan, told, end) {
    const { Client, Versions } = require("@stomp/stompjs");
    const client = new Client({
      webSocketFactory: () => socket(plan), stompVersions: new Versions(plan.versions), reconnectDelay: 0,
      connectHeaders: { login: plan.login, passcode: "secret" }, forceBinaryWSFrames: plan.binary,
      heartbeatIncoming: 1000, heartbeatOutgoing: 1000, splitLargeFrames: plan.split, maxWebSocketChunkSize: 7,
      onStompError: (frame) => end(`ERROR ${frame.headers.message} ${frame.body}`),
      onWebSocketError: () => end("a WebSocket error"),
      onConnect: (frame) => {
        told.version = frame.headers.version;
        visit(plan, {
          subscribe: (to, headers, take) => client.subscribe(to, take, headers),
          send: (destination, headers, body) => client.publish({ destination, headers, body }),
          ack: (message) => message.ack(), nack: (message) => message.nack(),
          begin: (name) => client.begin(name),
          disconnect: (done) => { client.onDisconnect = () => { told.events.push(["disconnected"]); done(); }; client.deactivate(); },
        }, told, end);
      },
    });
    client.activate();
  },
  webstomp(plan, told, end) {
    const webstomp = require("webstomp-client");
    const client = webstomp.over(socket(plan), { debug: false, binary: plan.binary, heartbeat: { incoming: 1000, outgoing: 1000 } });
    client.connect({ login: plan.login, passcode: "secret", "accept-version": plan.versions.join(",") }, (frame) => {
      told.version = frame.headers.version;
      let names = 0;
      visit(plan, {
        subscribe: (to, headers, take) => client.subscribe(to, take, { id: `s${names++}`, ...headers }),
        send: (destination, headers, body) => client.send(destination, body, headers),
        ack: (message) => message.ack(), nack: (message) => message.nack(),
        begin: (name) => client.begin(name),
        disconnect: (done) => client.disconnect(() => { told.events.push(["disconnected"]); done(); }),
      }, told, end);
    }, (error) => end(error.body || error.reason || error));
  },
  stompit(plan, told, end) {
    const stompit = require("stompit");
    const headers = { host: "/", login: plan.login, passcode: "secret", "accept-version": plan.versions.join(","), "heart-beat": "1000,1000" };
    stompit.connect({ host: plan.host, port: plan.port, connectHeaders: headers }, (error, client) => {
      if (error) { end(error.message); return; }
      told.version = client.headers ? client.headers.version : "";
      client.on("error", (problem) => end(problem.message));
      let id = 0;
      const acks = new Map();
      visit(plan, {
        subscribe: (destination, headers, take) =>
          client.subscribe({ id: `s${id++}`, destination, ack: "auto", ...headers }, (problem, message) => {
            if (problem) { end(problem.message); return; }
            message.readString("utf-8", (wrong, body) => {
              const told = { body, headers: { ...message.headers } };
              acks.set(told, message);
              take(told);
            });
          }),
        send: (destination, headers, body) => { const frame = client.send({ destination, ...headers }); frame.end(body); },
        ack: (message) => client.ack(acks.get(message)), nack: (message) => client.nack(acks.get(message)),
        begin: (name) => {
          client.sendFrame("BEGIN", { transaction: name }).end();
          return { abort: () => client.sendFrame("ABORT", { transaction: name }).end(), commit: () => client.sendFrame("COMMIT", { transaction: name }).end() };
        },
        disconnect: (done) => client.disconnect((problem) => { told.events.push(["disconnected"]); done(problem); }),
      }, told, end);
    });
  },
};
