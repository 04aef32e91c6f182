// What people do with a WebSocket class that is not the browser's: hand it protocols, re-dispatch its events, put it in the
// global's place, give it odd addresses and odd data, in pages whose prototypes are not what they were.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { DIST } from "../build.js";
import { Browser, opened } from "./browser.js";
import { Network } from "./network.js";

const code = readFileSync(join(DIST, "realtime.js"), "utf8");
const FLAVOURS = ["websocket", "sse", "xhr_streaming", "multipart", "htmlfile", "long_polling", "polling", "jsonp"];

/** A page and a session that is open over a WebSocket. */
function open(options, page = new Browser(code)) {
  const session = page.connect("/chat", { transports: ["websocket"], ...options });
  page.socket.accept();
  page.socket.say(opened());
  return { page, session, socket: page.socket };
}

function listening(page) {
  const all = [page.listeners, page.window.document.listeners].flatMap((types) => Object.values(types));
  return all.reduce((sum, set) => sum + set.size, 0);
}

// -- the constructor ---------------------------------------------------------------------------------------------------

test("sub-protocols are ignored, with one warning; an empty list is none", () => {
  const page = new Browser(code);
  for (const protocols of [[], undefined, null, "", ["mqtt"], "graphql-transport-ws", ["a", "b"]]) {
    const session = page.connect("/chat", protocols);
    assert.equal(session.protocol, "");
    page.socket.accept();
    page.socket.say(opened());
    assert.equal(session.readyState, 1);
  }
  assert.deepEqual(page.warnings, ["Realtime: no sub-protocols"]);
});

test("an option that is none is warned of by its name", () => {
  const page = new Browser(code);
  page.run("Object.prototype.somebodys = function () {}");
  open({ max_buffered: 1, reopen: undefined, auth: null, raceDelay: 0 }, page);
  assert.deepEqual(page.warnings, ["Realtime: no option max_buffered"]);
});

test("undefined is as good as left out, for each option", () => {
  const page = new Browser(code);
  const names = ["transports", "auth", "reopen", "upgrade", "maxBuffered", "raceDelay", "attachTimeout", "postTimeout", "credentials"];
  const session = page.connect("/chat", Object.fromEntries(names.map((name) => [name, undefined])));
  page.socket.accept();
  page.socket.say(opened());
  assert.equal(session.readyState, 1);
  session.send("x".repeat(1000));
});

test("addresses: what is one of an endpoint is taken as a browser takes it", () => {
  for (const [given, taken] of [
    ["/chat", "http://app.example/chat"],
    ["chat", "http://app.example/chat"],
    ["ws/chat", "http://app.example/ws/chat"],
    ["wss-feed", "http://app.example/wss-feed"],
    ["ws", "http://app.example/ws"],
    ["", "http://app.example/page"],
    ["ws://other.example/chat", "http://other.example/chat"],
    ["wss://other.example/chat", "https://other.example/chat"],
    ["WSS://other.example/chat", "https://other.example/chat"],
    ["  ws://other.example/chat", "http://other.example/chat"],
    ["//other.example/chat", "http://other.example/chat"],
    [new URL("wss://other.example/chat?a=b#c"), "https://other.example/chat?a=b"]
  ]) {
    const page = new Browser(code);
    assert.equal(page.connect(given).url, taken, String(given));
  }
});

test("addresses: what is none throws a sentence, and leaves nothing behind", () => {
  for (const given of [undefined, null, "ftp://x/y", "mailto:a", "javascript:1", "data:,x", "http://", "https:///", "blob:http://x/y"]) {
    const page = new Browser(code);
    assert.throws(() => page.connect(given), /Realtime: no endpoint|Invalid URL/, String(given));
    assert.equal(listening(page), 0, String(given));
    assert.equal(page.timers.size, 0);
    page.dispatch("pagehide", { persisted: false });
  }
  for (const options of [{ transports: [] }, { transports: ["flash"] }]) {
    const page = new Browser(code);
    assert.throws(() => page.connect("/chat", options), { name: "TypeError" });
    assert.equal(listening(page), 0);
  }
});

test("what is kept in the browser names the server, and neither user nor password nor query", () => {
  for (const [url, key] of [
    ["http://user:s3cret@other.example/chat?token=x", "realtime:http://other.example"],
    ["http://other.example?token=s3cret", "realtime:http://other.example"],
    ["http://other.example:8080/a@b", "realtime:http://other.example:8080"],
    ["https://a@b@other.example/x", "realtime:https://other.example"]
  ]) {
    const page = new Browser(code);
    const kept = [];
    page.window.localStorage.setItem = (name, value) => kept.push([name, value]);
    page.connect(url, { transports: ["websocket", "long_polling"] });
    page.socket.end();
    assert.ok(kept.some(([name]) => name === key));
    for (const [name] of kept) assert.match(name.replace(key, ""), /^\d?$/); // or a place for a held request
    assert.doesNotMatch(JSON.stringify(kept), /s3cret|token/);
  }
});

test("a user in the address does not make the page's own server another", () => {
  const page = new Browser(code);
  page.connect("http://user:pass@app.example/chat", { transports: ["long_polling"] });
  assert.equal(page.request("/v1/long_polling").withCredentials, false); // which only other origins want
});

// -- in the global's place -----------------------------------------------------------------------------------------------

test("window.WebSocket = Realtime: it goes on by the browser's own", () => {
  const page = new Browser(code);
  page.run("window.WebSocket = class extends Realtime {}");
  const { session } = open({}, page);
  assert.equal(session.transport, "websocket");
  assert.equal(page.sockets.length, 1);
});

test("where there never was another, WebSockets are not used", () => {
  const page = new Browser(code, { without: ["WebSocket"] });
  page.run("window.WebSocket = Realtime");
  const session = page.connect("/chat", { transports: ["websocket", "long_polling"] });
  page.request("/v1/long_polling").answer(200, [opened()]);
  assert.equal(session.transport, "long_polling");
});

test("what comes into its place later is used", () => {
  const page = new Browser(code);
  let made = 0;
  const { WebSocket } = page.window;
  page.window.WebSocket = function (url) {
    made++;
    return new WebSocket(url);
  };
  open({}, page);
  assert.equal(made, 1);
});

// -- events --------------------------------------------------------------------------------------------------------------

test("events are the engine's own, with our fields, and can be copied as libraries do", () => {
  const { page, session, socket } = open();
  const { Event, MessageEvent, CloseEvent } = page.window;
  const copies = [];
  for (const type of ["message", "close", "state", "error"]) {
    session.addEventListener(type, (event) => copies.push(new event.constructor(event.type, event)));
  }
  socket.say("mhello", "d3");
  session.close(3001, "enough");
  socket.say("a1,1", "x3001,session,1,");
  const [message, state, close] = copies;
  assert.ok(message instanceof MessageEvent);
  assert.equal(message.data, "hello");
  assert.ok(state instanceof Event && state.type === "state");
  assert.ok(close instanceof CloseEvent);
  for (const event of session.log) {
    assert.ok(event instanceof Event, event.type);
    assert.equal(event.target, session);
    assert.equal(event.currentTarget, session);
  }
  const closed = session.log.find(({ type }) => type === "close");
  assert.deepEqual([closed.code, closed.reason, closed.wasClean, closed.reopening], [3001, "enough", true, false]);
  assert.deepEqual([...closed.unacknowledged], []);
});

for (const missing of [["CloseEvent"], ["CloseEvent", "MessageEvent"], ["CloseEvent", "MessageEvent", "Event"]]) {
  test(`without ${missing} events say the same`, () => {
    const { session, socket } = open({}, new Browser(code, { without: missing }));
    socket.say("mhello");
    session.close();
    socket.say("a1,1", "x1000,session,1,");
    const fields = session.log.map(({ type, data, code: number, target }) => [type, data ?? number, target === session]);
    assert.ok(fields.every(([, , ours]) => ours));
    assert.deepEqual(
      fields.filter(([type]) => ["message", "close"].includes(type)).map(([type, value]) => [type, value]),
      [
        ["message", "hello"],
        ["close", 1000]
      ]
    );
  });
}

test("dispatchEvent tells the listeners of its type, and whether one of them objects", () => {
  const { page, session } = open();
  const told = [];
  session.onmessage = (event) => told.push(["property", event.data]);
  session.addEventListener("message", (event) => told.push(["listener", event.data]));
  session.addEventListener("custom", (event) => event.preventDefault());
  assert.equal(session.dispatchEvent(new page.window.MessageEvent("message", { data: "mine" })), true);
  assert.deepEqual(told, [
    ["property", "mine"],
    ["listener", "mine"]
  ]);
  assert.equal(session.dispatchEvent(new page.window.Event("custom", { cancelable: true })), false);
});

test("a listener ends with its signal", () => {
  const { session, socket } = open();
  const control = new AbortController(), told = [];
  session.addEventListener("message", ({ data }) => told.push(data), { signal: control.signal });
  session.addEventListener("message", () => told.push("never"), { signal: AbortSignal.abort() });
  socket.say("mone");
  control.abort();
  socket.say("mtwo");
  assert.deepEqual(told, ["one"]);
});

test("and with no other's: one that was removed and added again stays", () => {
  const { session, socket } = open();
  const control = new AbortController(), told = [], listener = ({ data }) => told.push(data);
  session.addEventListener("message", listener, { signal: control.signal });
  session.removeEventListener("message", listener);
  session.addEventListener("message", listener);
  control.abort();
  socket.say("mone");
  assert.deepEqual(told, ["one"]);
});

test("any name may be a type, and once is once", () => {
  const { session, socket } = open();
  let told = 0;
  session.removeEventListener("toString", () => {});
  for (const type of ["constructor", "toString", "__proto__"]) session.addEventListener(type, () => told++);
  session.addEventListener("message", () => told++, { once: true });
  session.addEventListener("message", null);
  socket.say("mone", "mtwo");
  assert.equal(told, 1);
});

// -- data ------------------------------------------------------------------------------------------------------------------

test("send() takes any buffer, shared ones too, and refuses Blobs of whatever frame", () => {
  const { page, session, socket } = open();
  const shared = new SharedArrayBuffer(4);
  new Uint8Array(shared).set([1, 2, 3, 4]);
  const sent = () => [...new Uint8Array(socket.sent.at(-1))];
  session.send(new Uint8Array(shared, 1, 2));
  assert.deepEqual(sent(), [2, 3]);
  session.send(shared);
  assert.deepEqual(sent(), [1, 2, 3, 4]);
  session.send(new DataView(new Uint8Array([5, 6, 7]).buffer, 1));
  assert.deepEqual(sent(), [6, 7]);
  session.send(new ArrayBuffer(0));
  assert.deepEqual(sent(), []);
  for (const what of [new Blob(["x"]), new File(["x"], "y")]) assert.throws(() => session.send(what), /Blob/);
  const foreign = { [Symbol.toStringTag]: "Blob" }; // as one of another frame looks
  assert.throws(() => session.send(foreign), /Blob/);
  session.send({ buffer: new ArrayBuffer(3) });
  assert.equal(socket.sent.at(-1), "m[object Object]");
  session.send(page.run("null"));
  assert.equal(socket.sent.at(-1), "mnull");
});

for (const transport of FLAVOURS) {
  test(`${transport}: pages whose prototypes are not what they were`, () => {
    const page = new Browser(code);
    // Prototype.js before 1.7, and worse.
    page.run(`
      Array.prototype.toJSON = function () { return "an array"; };
      Array.prototype.each = function () {};
      Object.prototype.somebodys = function () {};
    `);
    const network = new Network(page, { rtt: 20 });
    const session = page.connect("/chat", { transports: [transport], auth: transport === "polling" ? [["a"]] : undefined });
    page.advance(3000);
    session.send("hello");
    session.send(new Uint8Array([0, 255]));
    page.advance(3000);
    assert.deepEqual(network.server.sessions[0].up[0], "hello");
    assert.equal(session.log.find(({ type }) => type === "message").data, "echo hello");
    assert.equal(page.run("JSON.stringify([1])"), '"an array"', "the page's own is where it was");
  });
}

test("a failure is remembered in such a page, too", () => {
  const page = new Browser(code);
  page.run("Object.prototype.somebodys = function () {}; Array.prototype.toJSON = function () { return 'an array'; }");
  page.connect("/chat", { transports: ["websocket", "long_polling"], upgrade: false });
  page.socket.end();
  page.advance(0);
  page.request("/v1/long_polling").answer(200, [opened()]);
  page.advance(0);
  page.request("/v1/long_polling").answer(200, ["r0,0"]);
  const kept = JSON.parse(page.window.localStorage.getItem("realtime:http://app.example"));
  assert.equal(kept.websocket[0], 1);
});
