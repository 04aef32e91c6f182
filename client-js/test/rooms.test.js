// Messages of rooms with their positions, and going on in another session (docs/protocol.md §3.5): options.cursors.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { cursors } from "../src/cursors.js";
import { parse } from "../src/frames.js";
import { DIST, SOURCE, tree } from "../build.js";
import { Browser, opened } from "./browser.js";
import { Network } from "./network.js";

const script = (file, directory) =>
  tree(`import Realtime, { cursors } from "./${file}"; Object.assign(window, { Realtime, cursors });`, directory, "ascii", { format: "iife" });
const scripts = { source: await script("index.js", SOURCE), shipped: await script("realtime.mjs", DIST) };
const code = scripts.shipped;

/** What a session was told of rooms, in order. */
function told(session) {
  return session.log
    .filter(({ type }) => ["message", "gap", "position"].includes(type))
    .map(({ type, data, room, cursor, missing }) => [type, ...(type === "message" ? [data] : missing === undefined ? [] : [missing]), room, cursor]);
}

const plain = (map) => ({ ...map });

/** The open that a WebSocket has brought, and whether it stood in the URL. */
function openOf(socket) {
  const query = new URL(socket.url).searchParams.get("open");
  return [JSON.parse(query ?? socket.sent[0].slice(1)), query !== null];
}

for (const [which, code] of Object.entries(scripts)) {
  test(`${which}: messages say where they come from, positions and gaps are told, and all move the cursor`, () => {
    const page = new Browser(code);
    const session = page.connect("/chat", { transports: ["websocket"], cursors: page.window.cursors() });
    const seen = [];
    session.onmessage = () => seen.push(JSON.stringify(session.cursors));
    session.binaryType = "arraybuffer";
    page.socket.accept();
    page.socket.say(opened(), "ha%2Cb,1.0", "ha%2Cb,1.1,mone", "mplain", "ha%2Cb,1.2,bAAH/", "hc,7,d0", "hc,9,d2", "h__proto__,x,m");
    const [, , , [, bytes]] = told(session);
    assert.deepEqual([...new Uint8Array(bytes)], [0, 1, 255]);
    assert.deepEqual(told(session).map((one) => (one[1] === bytes ? [one[0], "bytes", ...one.slice(2)] : one)), [
      ["position", "a,b", "1.0"],
      ["message", "one", "a,b", "1.1"],
      ["message", "plain", undefined, undefined],
      ["message", "bytes", "a,b", "1.2"],
      ["gap", 0, "c", "7"],
      ["gap", 2, "c", "9"],
      ["message", "", "__proto__", "x"]
    ]);
    assert.deepEqual(seen.slice(0, 3), ['{"a,b":"1.1"}', '{"a,b":"1.1"}', '{"a,b":"1.2"}']);
    assert.equal(JSON.stringify(session.cursors), '{"a,b":"1.2","c":"9","__proto__":"x"}');
    assert.equal(session.log.filter(({ type }) => type === "close").length, 0);
  });
}

test("what a listener has not been told of is not heard", () => {
  const page = new Browser(code);
  const session = page.connect("/chat", { transports: ["websocket"], cursors: page.window.cursors() });
  const { socket } = page, seen = [];
  socket.accept();
  session.onmessage = ({ data }) => {
    // As in an engine whose alert() lets other events pass.
    if (data === "one") socket.say("hr,2,mtwo", "hr,3", "hr,4,d1");
    seen.push([data, session.cursors.r]);
  };
  session.addEventListener("gap", ({ cursor }) => seen.push([cursor, session.cursors.r]));
  socket.say(opened(), "hr,1,mone");
  assert.deepEqual(seen, [["one", "1"], ["two", "2"], ["4", "4"]]);
  // Nor is what somebody else has made.
  session.dispatchEvent(Object.assign(new Event("message"), { room: "r", cursor: "99" }));
  assert.equal(session.cursors.r, "4");
});

test("after close() nothing is told, and no cursor moves", () => {
  const page = new Browser(code);
  const session = page.connect("/chat", { transports: ["websocket"], cursors: page.window.cursors() });
  page.socket.accept();
  page.socket.say(opened(), "hr,1,mone");
  session.close();
  page.socket.say("hr,2,mtwo", "hr,3", "hr,4,d1");
  assert.deepEqual(told(session), [["message", "one", "r", "1"]]);
  assert.equal(session.cursors.r, "1");
});

test("the open says `rooms`, and cursors stand in no URL", () => {
  for (const [known, inUrl] of [[undefined, true], [null, true], [{}, true], [{ "é,%": "1.5.x" }, false]]) {
    const page = new Browser(code);
    page.connect("/chat", { transports: ["websocket"], cursors: page.window.cursors(known) });
    page.socket.accept();
    const [open, there] = openOf(page.socket);
    assert.deepEqual([open.rooms, there], [known || {}, inUrl]);
  }
  const page = new Browser(code);
  page.connect("/chat", { transports: ["websocket"] });
  assert.equal("rooms" in openOf(page.socket)[0], false);
});

test("a stream that opens by its URL is not tried with cursors, and JSONP opens by a form", () => {
  const page = new Browser(code, { without: ["WebSocket"] });
  const session = page.connect("/chat", { transports: ["sse"], cursors: page.window.cursors({ r: "1" }) });
  page.advance(60000);
  assert.equal(page.streams.length, 0);
  assert.match(session.log.find(({ type }) => type === "close").reason, /no auth or cursors in a URL/);
  page.connect("/chat", { transports: ["jsonp"], cursors: page.window.cursors({ r: "1" }) });
  assert.equal(page.scripts.length, 0);
  assert.equal(JSON.parse(page.request("/v1/long_polling").sent[0].slice(1)).rooms.r, "1");
});

test("of more than 64 rooms, and of more than an open has room for, those count that were heard of last", () => {
  const page = new Browser(code), known = {};
  for (let i = 0; i < 100; i++) known["r" + i] = "c" + i;
  const session = page.connect("/chat", { transports: ["websocket"], cursors: page.window.cursors(known) });
  assert.equal(Object.keys(session.cursors).length, 64);
  assert.equal(Object.keys(session.cursors)[0], "r36");
  page.socket.accept();
  assert.deepEqual(openOf(page.socket)[0].rooms, plain(session.cursors));
  page.socket.say(opened(), "hr36,new", "hr1,1,mone");
  assert.deepEqual([session.cursors.r36, session.cursors.r1, session.cursors.r37], ["new", "1", undefined]);
  const long = {};
  for (let i = 0; i < 64; i++) long["\u0001".repeat(250) + i] = "c".repeat(128);
  const other = page.connect("/chat", { transports: ["websocket"], cursors: page.window.cursors(long) });
  page.socket.accept();
  const { rooms } = openOf(page.socket)[0];
  assert.ok(JSON.stringify(rooms).length <= 24576 && Object.keys(rooms).length > 10);
  assert.equal(Object.keys(rooms).pop(), Object.keys(long).pop());
  assert.deepEqual(rooms, plain(other.cursors));
});

test("what is no cursor is told to who brings it", () => {
  const owner = () => ({ dispatchEvent() {}, _tell() {} });
  for (const known of [{ r: "" }, { r: "a b" }, { r: 5 }, { r: undefined }, { r: "a\n" }, { r: "x".repeat(129) }, { "\ud800": "1" }]) {
    assert.throws(() => cursors(known)(owner()), /^TypeError: Realtime: no cursor of the room /);
  }
  const page = new Browser(code);
  const { cursors: given } = page.window;
  for (const wrong of [() => given, () => given('{"r":"1"}'), () => given(["1"])]) {
    assert.throws(() => page.connect("/chat", { cursors: wrong() }), { message: "Realtime: options.cursors takes cursors({ room: cursor })" });
  }
});

test("a session that is lost goes on in the next, once in order, whatever the network does", () => {
  for (const transports of [["websocket"], ["xhr_streaming", "long_polling"], ["long_polling"], ["polling"]]) {
    const page = new Browser(code), network = new Network(page, { rtt: 60, jitter: 0.5 }), room = [], sent = 300;
    network.server.begun = (session) => {
      const at = +(session.rooms.r ?? room.length);
      session.out.push(`hr,${at}`, ...room.slice(at));
    };
    const session = page.connect("/chat", { transports, reopen: true, upgrade: false, cursors: page.window.cursors() });
    page.advance(2000);
    for (let i = 1; i <= sent; i++) {
      const frame = i % 3 ? `hr,${i},m${i}` : `hr,${i}`;
      room.push(frame);
      const current = network.server.sessions.at(-1);
      current.out.push(frame);
      current.flush();
      page.advance(30);
      if (i % 20 === 7) network.cut(() => true);
      if (i % 50 === 0) {
        // The server knows it no longer.
        network.server.sessions.splice(0);
        network.cut(() => true);
        for (let waited = 0; !network.server.sessions.length && waited < 60000; waited += 100) page.advance(100);
      }
    }
    page.advance(20000);
    const heard = session.log.filter(({ type }) => type === "message").map(({ data }) => +data);
    assert.deepEqual(heard, Array.from({ length: sent }, (_, i) => i + 1).filter((i) => i % 3), transports[0]);
    assert.equal(session.cursors.r, String(sent));
    assert.ok(network.server.count >= 5, `${network.server.count} sessions`);
    assert.equal(session.log.filter(({ type }) => type === "gap").length, 0);
  }
});

test("another page goes on with what the last one has kept", () => {
  const first = new Browser(code);
  const one = first.connect("/chat", { transports: ["websocket"], cursors: first.window.cursors() });
  first.socket.accept();
  first.socket.say(opened(), "hr,1,mone");
  const kept = JSON.stringify(one.cursors);
  const second = new Browser(code);
  second.connect("/chat", { transports: ["websocket"], cursors: second.window.cursors(JSON.parse(kept)) });
  second.socket.accept();
  assert.deepEqual(openOf(second.socket)[0].rooms, { r: "1" });
});

test("the script has it not, and what it did not ask for is nothing to it, whatever stands in it", () => {
  const page = new Browser(readFileSync(new URL("../dist/realtime.js", import.meta.url), "utf8"));
  const session = page.connect("/chat", { transports: ["websocket"] });
  assert.equal(session.cursors, undefined);
  page.socket.accept();
  page.socket.say(opened(), "hr,1,mone", "h", "mtwo");
  assert.deepEqual(told(session).map((one) => one.slice(0, 2)), [["message", "two"]]);
  const vectors = JSON.parse(readFileSync(new URL("../../tests/vectors/rooms.json", import.meta.url), "utf8"));
  for (const { name, frame } of vectors) {
    if (!/[\ud800-\udfff]/u.test(frame)) assert.doesNotThrow(() => parse(frame), name); // half of a character never comes
  }
});
