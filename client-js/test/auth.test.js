// options.auth, in virtual time: a value, a function, a promise; asked for again when it has expired; never in a URL.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { DIST } from "../build.js";
import { Browser, opened } from "./browser.js";

const code = readFileSync(join(DIST, "realtime.js"), "utf8");
const SECRET = "s3cr3t";

/** Lets promises be kept. */
async function settle() {
  for (let i = 0; i < 10; i++) await null;
}

function closed(session) {
  return session.log.find((event) => event.type === "close");
}

/** Every address that was asked for. */
function addresses(page) {
  const { requests, sockets, streams, scripts, frames, beacons } = page;
  const asked = [...requests, ...sockets, ...streams, ...beacons].map((one) => one.url);
  return [...asked, ...[...scripts, ...frames].map((one) => one.src || "")];
}

function open(frame) {
  assert.equal(frame[0], "o");
  return JSON.parse(frame.slice(1));
}

for (const [what, auth] of Object.entries({
  "a value": { token: SECRET },
  "a function": () => ({ token: SECRET }),
  "a promise": Promise.resolve({ token: SECRET }),
  "a function that promises": async () => ({ token: SECRET })
})) {
  test(`${what} goes up in the first frame of a WebSocket, and not in its URL`, async () => {
    const page = new Browser(code);
    page.connect("/chat", { transports: ["websocket"], auth });
    await settle();
    assert.equal(new URL(page.socket.url).search, "");
    page.socket.accept();
    assert.deepEqual(open(page.socket.sent[0]).auth, { token: SECRET });
  });
}

for (const value of [null, false, 0, ""]) {
  test(`${JSON.stringify(value)} is auth data too`, () => {
    const page = new Browser(code);
    page.connect("/chat", { transports: ["long_polling"], auth: value });
    assert.equal(open(page.request("/v1/long_polling").sent[0]).auth, value);
  });
}

test("nothing is asked of the server before a promise is kept", async () => {
  const page = new Browser(code);
  let keep;
  const session = page.connect("/chat", { transports: ["websocket", "long_polling"], auth: new Promise((ok) => (keep = ok)) });
  session.send("early");
  page.advance(60000);
  assert.deepEqual(addresses(page), []);
  keep(SECRET);
  await settle();
  page.socket.accept();
  assert.equal(open(page.socket.sent[0]).auth, SECRET);
});

test("who is asked may take any time, whatever happens to the page meanwhile", async () => {
  const page = new Browser(code);
  let keep;
  const session = page.connect("/chat", { transports: ["websocket"], auth: new Promise((ok) => (keep = ok)) });
  page.dispatch("online");
  page.advance(600000);
  keep(SECRET);
  await settle();
  page.socket.accept();
  page.socket.say(opened());
  assert.equal(session.state, "open");
});

for (const [what, auth] of Object.entries({
  "a promise that is broken": () => Promise.reject(new Error("no token")),
  "a function that throws": () => {
    throw new Error("no token");
  }
})) {
  test(`${what} ends the session, and its listeners hear why`, async () => {
    const page = new Browser(code);
    const session = page.connect("/chat", { auth });
    session.send("never");
    await settle();
    page.advance(0);
    assert.equal(closed(session).code, 4411);
    assert.match(closed(session).reason, /no token/);
    assert.deepEqual([...closed(session).unacknowledged], ["never"]);
    assert.deepEqual(addresses(page), []);
  });
}

test("who could not be asked is asked again where `reopen` says so", async () => {
  const page = new Browser(code);
  const answers = [Promise.reject(new TypeError("Failed to fetch")), Promise.reject(new SyntaxError("no JSON")), SECRET];
  const session = page.connect("/chat", { transports: ["websocket"], reopen: true, auth: () => answers.shift() });
  for (let left = 2; left >= 0; left--) {
    await settle();
    assert.equal(answers.length, left);
    page.advance(2000);
  }
  await settle();
  page.socket.accept();
  assert.equal(open(page.socket.sent[0]).auth, SECRET);
  page.socket.say(opened());
  assert.equal(session.state, "open");
});

const TRANSPORTS = ["websocket", "sse", "xhr_streaming", "multipart", "htmlfile", "long_polling", "polling", "jsonp"];

for (const transport of TRANSPORTS) {
  test(`${transport}: auth data are in no URL, whatever fails`, async () => {
    const page = new Browser(code);
    const session = page.connect("/chat", { transports: [transport, "polling"], auth: () => SECRET });
    for (let i = 0; i < 40; i++) {
      await settle();
      for (const request of page.requests) if (!request.done) request.url.includes("/v1/") && (request.cut?.() ?? 0);
      for (const socket of page.sockets) if (socket.readyState < 2) socket.end();
      for (const stream of page.streams) if (stream.readyState < 2) stream.fail();
      page.advance(3000);
    }
    assert.ok(addresses(page).length > 1);
    for (const address of addresses(page)) assert.ok(!decodeURIComponent(address).includes(SECRET), address);
    assert.equal(closed(session).code, 4411);
  });

  test(`${transport}: alone with auth data it opens without them in a URL, or says why it can't`, async () => {
    const page = new Browser(code);
    const session = page.connect("/chat", { transports: [transport], auth: SECRET });
    for (let i = 0; i < 30; i++) page.advance(2000);
    for (const address of addresses(page)) assert.ok(!decodeURIComponent(address).includes(SECRET), address);
    if (["sse", "multipart", "htmlfile"].includes(transport)) {
      assert.equal(closed(session).code, 4411);
      assert.match(closed(session).reason, /no auth or cursors in a URL/);
    } else assert.ok(addresses(page).length > 0);
  });
}

/** A session whose attach is refused: its auth data have expired. */
async function expired(transports, tokens) {
  const page = new Browser(code);
  const session = page.connect("/chat", { transports, auth: () => tokens.shift(), upgrade: false });
  page.socket.accept();
  page.socket.say(opened());
  page.socket.end();
  page.advance(1000);
  if (transports.length > 1) page.request("/v1/long_polling").answer(401, ["x4401,carrier,0,expired"]);
  else {
    page.socket.accept();
    page.socket.say("x4401,carrier,0,expired");
  }
  await settle();
  page.advance(0);
  return { page, session };
}

test("4401 on an attach: fresh data are asked for once, go up behind the head of a batch, and the session goes on", async () => {
  const tokens = ["old", "new", "newer"];
  const { page, session } = await expired(["websocket", "long_polling"], tokens);
  const { sent } = page.request("/v1/send");
  assert.match(sent[0], /^us1,/);
  assert.deepEqual(sent.slice(1), ['t"new"']);
  page.request("/v1/send").answer(200, ["a0,0", "t"]);
  page.advance(1000);
  page.request("/v1/long_polling").answer(200, ["r0,0", "mhello"]);
  assert.equal(session.state, "open");
  assert.deepEqual(
    session.log.filter((event) => event.type === "message").map((event) => event.data),
    ["hello"]
  );
  assert.deepEqual(tokens, ["newer"]);
  for (const address of addresses(page)) assert.doesNotMatch(address, /old|new/);
});

test("4401 on a POST: fresh data are asked for, and what it brought goes up again", async () => {
  const page = new Browser(code);
  const tokens = ["old", "new"];
  const session = page.connect("/chat", { transports: ["long_polling"], auth: () => tokens.shift(), upgrade: false });
  page.request("/v1/long_polling").answer(200, [opened({ transport: "long_polling" })]);
  page.request("/v1/long_polling").answer(200, ["r0,0"]);
  session.send("hello");
  assert.deepEqual(page.request("/v1/send").sent.slice(1), ["mhello"]);
  page.request("/v1/send").answer(401, ["x4401,carrier,0,expired"]);
  await settle();
  const [renewal] = page.pending("/v1/send");
  assert.deepEqual(renewal.sent.slice(1), ['t"new"']);
  renewal.answer(200, ["a0,0", "t"]);
  page.advance(1000);
  assert.deepEqual(page.request("/v1/send").sent.slice(1), ["mhello"]);
  page.request("/v1/send").answer(200, ["a1,1"]);
  assert.deepEqual([...session.unacknowledged], []);
  assert.equal(session.state, "open");
});

test("4401 again ends the session", async () => {
  const { page, session } = await expired(["websocket"], ["old", "new", "newer"]);
  for (let i = 0; i < 3 && !closed(session); i++) {
    page.advance(10000);
    await settle();
    for (const request of page.pending("/v1/send")) request.answer(200, ["a0,0", "t"]);
    for (const socket of page.sockets.filter((one) => one.readyState < 2)) {
      socket.accept();
      socket.say("x4401,carrier,0,expired");
    }
  }
  assert.equal(closed(session).code, 4401);
});

test("4401 without a function to ask ends the session", () => {
  const page = new Browser(code);
  const session = page.connect("/chat", { transports: ["long_polling"], auth: "old" });
  page.request("/v1/long_polling").answer(401, ["x4401,carrier,,expired"]);
  page.advance(0);
  assert.equal(closed(session).code, 4401);
});

test("4401 on an open asks once more", async () => {
  const page = new Browser(code);
  const tokens = ["old", "new", "newer"];
  const session = page.connect("/chat", { transports: ["long_polling"], auth: () => tokens.shift() });
  page.request("/v1/long_polling").answer(401, ["x4401,carrier,,expired"]);
  page.advance(1000);
  assert.equal(open(page.request("/v1/long_polling").sent[0]).auth, "new");
  page.request("/v1/long_polling").answer(200, [opened()]);
  page.advance(0);
  assert.equal(session.readyState, 1);
  assert.deepEqual(tokens, ["newer"]);
});

test("fresh data that are undefined are null on the wire", async () => {
  const { page } = await expired(["websocket", "long_polling"], ["old"]);
  assert.equal(page.request("/v1/send").sent[1], "tnull");
});

test("fresh data that meet no answer, or are to come later, are due again", async () => {
  const { page, session } = await expired(["websocket", "long_polling"], ["old", "new"]);
  page.request("/v1/send"); // and nobody answers
  page.advance(11000);
  page.request("/v1/send").answer(503, ["x4503,carrier,0,busy"]);
  page.advance(1000);
  page.request("/v1/send").cut();
  page.advance(1000);
  assert.deepEqual(page.request("/v1/send").sent.slice(1), ['t"new"']);
  assert.equal(page.pending("/v1/long_polling").length, 0);
  page.request("/v1/send").answer(200, ["a0,0", "t"]);
  page.request("/v1/long_polling").answer(200, ["r0,0"]); // which has not failed, unlike the WebSocket
  assert.equal(session.state, "open");
});

test("fresh data that are refused end the session", async () => {
  const { page, session } = await expired(["websocket", "long_polling"], ["old", "new", "newer"]);
  page.request("/v1/send").answer(403, ["x4403,carrier,0,somebody else"]);
  assert.deepEqual([closed(session).code, closed(session).reason], [4403, "somebody else"]);
});

test("fresh data that never meet an answer do not hold the session up for ever, nor outlive it", async () => {
  const { page, session } = await expired(["websocket", "long_polling"], ["old", "new"]);
  for (let i = 0; i < 200; i++) page.advance(1000);
  assert.equal(closed(session).code, 4411);
  assert.equal(page.timers.size, 0);
});

test("while fresh data are asked for nobody is asked again, and nothing goes up", async () => {
  const page = new Browser(code);
  let asked = 0, keep;
  const auth = () => (asked++ ? new Promise((ok) => (keep = ok)) : "old");
  const session = page.connect("/chat", { transports: ["long_polling"], auth, upgrade: false });
  page.request("/v1/long_polling").answer(200, [opened({ transport: "long_polling" })]);
  page.request("/v1/long_polling").answer(200, ["r0,0"]);
  session.send("hello");
  page.request("/v1/send").answer(401, ["x4401,carrier,0,expired"]);
  page.request("/v1/long_polling").answer(401, ["x4401,carrier,0,expired"]);
  page.advance(20000);
  assert.deepEqual([asked, page.pending("/v1/send").length], [2, 0]);
  keep("new");
  await settle();
  assert.deepEqual(page.request("/v1/send").sent.slice(1), ['t"new"']);
});

test("fresh data may take as long as the server keeps the session, and are brought nowhere behind its end", async () => {
  let keep;
  const { page, session } = await expired(["websocket", "long_polling"], ["old", new Promise((ok) => (keep = ok))]);
  page.advance(60000);
  assert.equal(closed(session), undefined);
  page.advance(100000);
  assert.deepEqual([closed(session).code, closed(session).reason], [4411, "no contact"]);
  keep("late");
  await settle();
  assert.deepEqual(page.pending("/v1/send"), []);
  assert.equal(page.timers.size, 0);
});
