// An opening that takes long: no open by a nonce that is older than its life, and what went behind one that nobody answered
// is told, and never goes again.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { DIST } from "../build.js";
import { Browser, opened } from "./browser.js";

const code = readFileSync(join(DIST, "realtime.js"), "utf8");
const LIFE = 7000, END = 10000; // docs/protocol.md §5
const POLLS = { transports: ["polling"] };

/** The open that a request brings, and what comes behind it. */
function brought({ body }) {
  const [first, ...rest] = JSON.parse(body);
  return { ...JSON.parse(first.slice(1)), rest };
}

function closes(session) {
  return session.log.filter((event) => event.type === "close").map((event) => [event.code, [...event.unacknowledged]]);
}

/** Fails all requests for so long; returns the opens: [when, nonce]. */
function failing(page, milliseconds) {
  const opens = [], until = page.now + milliseconds;
  while (page.now < until) {
    for (const request of page.pending("/v1/polling")) {
      opens.push([page.now, brought(request).nonce]);
      request.cut();
    }
    page.advance(50);
  }
  return opens;
}

test("an opening that fails for long goes on by one nonce after another, each for its life", () => {
  const page = new Browser(code);
  const session = page.connect("/chat", POLLS);
  const opens = failing(page, 20000), began = new Map();
  for (const [when, nonce] of opens) {
    if (!began.has(nonce)) began.set(nonce, when);
    assert.ok(when - began.get(nonce) <= LIFE + 50);
  }
  assert.ok(began.size > 1);
  while (!page.pending("/v1/polling").length) page.advance(50);
  const last = page.request("/v1/polling");
  last.answer(200, [opened({ transport: "polling" })]);
  page.advance(0);
  assert.equal(session.readyState, 1);
  session.send("late");
  page.advance(5000);
  assert.ok(page.requests.some(({ body }) => body.includes('"mlate"')));
  assert.deepEqual(closes(session), []);
});

test("an open is let go of when its nonce is ten seconds old", () => {
  const page = new Browser(code);
  page.connect("/chat", { ...POLLS, attachTimeout: 25000 });
  const first = page.request("/v1/polling"), { nonce } = brought(first);
  page.advance(END - 10);
  assert.ok(!first.aborted);
  page.advance(20);
  assert.ok(first.aborted);
  page.advance(1000);
  assert.notEqual(brought(page.request("/v1/polling")).nonce, nonce);
});

test("what went behind opens that nobody answered is told, and does not go again", () => {
  const page = new Browser(code);
  const session = page.connect("/chat", { ...POLLS, reopen: true });
  const { nonce } = brought(page.request("/v1/polling"));
  page.request("/v1/polling").cut();
  session.send("one");
  page.advance(1000);
  const second = page.request("/v1/polling");
  assert.deepEqual([brought(second).nonce, brought(second).rest], [nonce, ["mone"]]);
  session.send("two");
  page.advance(END);
  assert.ok(second.aborted);
  assert.deepEqual(closes(session), [[4411, ["one", "two"]]]);
  second.answer(200, [opened({ transport: "polling" }), "a1,1"]);
  page.advance(2000);
  assert.equal(session.readyState, 0); // it opens anew
  const third = page.request("/v1/polling");
  assert.notEqual(brought(third).nonce, nonce);
  assert.deepEqual(brought(third).rest, []);
  third.answer(200, [opened({ transport: "polling" })]);
  page.advance(0);
  assert.equal(session.readyState, 1);
  assert.deepEqual([...session.unacknowledged], []);
  assert.ok(page.requests.every(({ body }) => !body.includes("mone") || body.includes(nonce)));
});

test("a session that is not to open again is closed", () => {
  const page = new Browser(code);
  const session = page.connect("/chat", POLLS);
  session.send("one");
  page.request("/v1/polling").cut();
  page.advance(END);
  failing(page, END);
  assert.deepEqual(closes(session), [[4411, ["one"]]]);
  const count = page.requests.length;
  page.advance(60000);
  assert.equal(page.requests.length, count);
});

for (const transport of ["websocket", "polling"]) {
  test(`${transport}: what went with opens that were all refused was not taken, and goes with the next nonce, once`, () => {
    const page = new Browser(code);
    const session = page.connect("/chat", { transports: [transport] });
    const refuse = (...frames) => {
      if (transport === "polling") return page.request("/v1/polling").answer(503, frames);
      page.socket.accept();
      assert.ok(page.socket.sent.includes("mone"));
      page.socket.say(...frames);
    };
    session.send("one");
    page.advance(1); // a plain poll that is out brings what there was when it began
    if (transport === "polling") page.request("/v1/polling").answer(503, ["x4503,carrier,,later"]), page.advance(1000);
    const waits = ["x4503,carrier,,later"];
    for (const until = page.now + 12000; page.now < until; page.advance(100)) {
      if (page.pending("/v1/polling").length || page.sockets.some(({ readyState }) => !readyState)) refuse(...waits);
    }
    assert.deepEqual(closes(session), []);
    while (!page.pending("/v1/polling").length && !page.sockets.some(({ readyState }) => !readyState)) page.advance(100);
    if (transport === "polling") {
      const last = page.request("/v1/polling");
      assert.deepEqual(brought(last).rest, ["mone"]);
      last.answer(200, [opened({ transport, ack: [1, 1] })]);
    } else {
      page.socket.accept();
      page.socket.say(opened(), "a1,1");
      assert.deepEqual(page.sockets.at(-1).sent.filter((frame) => frame === "mone"), ["mone"]);
    }
    page.advance(0);
    assert.equal(session.readyState, 1);
    assert.deepEqual([...session.unacknowledged], []);
    assert.equal(session.bufferedAmount, 0);
  });
}

test("a machine that slept while it opened goes on by another nonce", () => {
  const page = new Browser(code);
  const session = page.connect("/chat", POLLS);
  const { nonce } = brought(page.request("/v1/polling"));
  page.request("/v1/polling").cut();
  page.sleep(3600000);
  page.advance(1000);
  const next = page.request("/v1/polling");
  assert.notEqual(brought(next).nonce, nonce);
  next.answer(200, [opened({ transport: "polling" })]);
  page.advance(0);
  assert.equal(session.readyState, 1);
});

test("what no open has brought along goes with the next nonce, once", () => {
  const page = new Browser(code);
  const session = page.connect("/chat", { transports: ["websocket"] });
  session.send("one");
  page.advance(END + 5000); // no WebSocket gets so far that anything could be written
  const socket = page.socket;
  assert.equal(new Set(page.sockets.map(({ url }) => /nonce%22%3A%22(\w+)/.exec(url)[1])).size, 2);
  socket.accept();
  socket.say(opened());
  assert.deepEqual(socket.sent.filter((frame) => frame === "mone"), ["mone"]);
  socket.say("a1,1");
  assert.deepEqual([...session.unacknowledged], []);
  assert.deepEqual(closes(session), []);
});

test("the place among a browser's held requests is given back with the nonce that it had", () => {
  const page = new Browser(code);
  page.connect("/chat", { transports: ["long_polling"] });
  page.advance(21000);
  const places = [0, 1, 2].map((place) => page.window.localStorage.getItem("realtime:http://app.example" + place));
  assert.equal(places.filter((text) => text).length, 1);
});
