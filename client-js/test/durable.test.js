// Sessions that outlive their server's process (docs/protocol.md §13): whose answers count, and how far rooms were heard.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { bundle, DIST, SOURCE, tree } from "../build.js";
import { Browser, opened, tickets } from "./browser.js";
import { Network } from "./network.js";

const { code } = await bundle(join(SOURCE, "legacy.js"), "iife");
const scripts = { source: code, shipped: readFileSync(join(DIST, "realtime.js"), "utf8") };
const chosen = await tree(
  'import { Realtime, websocket, durable, cursors } from "./index.js"; Object.assign(window, { Realtime, websocket, durable, cursors });',
  SOURCE,
  "ascii",
  { format: "iife" }
);

const KEY = "key-of-s1";

/** A durable session on a WebSocket, of the tenure t1, which has told its cursors: none. */
function durable(script = code, { random, ...options } = {}) {
  const page = new Browser(script);
  if (random) page.run("Math").random = random;
  const session = page.connect("/orders", { transports: ["websocket"], ...options });
  page.socket.accept();
  page.socket.say(opened({ tenure: "t1" }));
  page.advance(0);
  assert.deepEqual(page.socket.sent, ["l1,".slice(0, 2).replace("1", String(genOf(page))), "a0,0"]);
  page.socket.sent = [];
  return { page, session };
}

function genOf(page) {
  return JSON.parse(new URL(page.socket.url).searchParams.get("open")).gen;
}

/** The WebSocket is cut, and the next one takes up the session with this answer; what it has brought behind its attach. */
function again(page, answer) {
  page.socket.end();
  page.advance(1000);
  page.socket.accept();
  const [attach] = page.socket.sent;
  if (answer) page.socket.say(answer);
  page.advance(0);
  return attach;
}

const messages = (session) => session.log.filter(({ type }) => type === "message").map(({ data }) => data);
const closes = (session) => session.log.filter(({ type }) => type === "close").map(({ code, wasClean }) => [code, wasClean]);

for (const [which, script] of Object.entries(scripts)) {
  test(`${which}: a session is durable if both ends say so, and names the tenure that it read of last`, () => {
    const { page, session } = durable(script);
    page.socket.say("mone");
    assert.match(again(page, "r0,0,t2,1,0,0"), new RegExp(`^rs1,\\d+,1,1,1,${KEY},t1$`));
    page.socket.say("mtwo");
    assert.match(again(page, "r0,0,t2"), new RegExp(`^rs1,\\d+,2,2,1,${KEY},t2$`));
    assert.deepEqual(messages(session), ["one", "two"]);
    assert.deepEqual(closes(session), []);
  });

  test(`${which}: against another server nothing changes but a member of the open`, () => {
    const page = new Browser(script);
    const session = page.connect("/chat", { transports: ["websocket"] });
    page.socket.accept();
    assert.equal(JSON.parse(new URL(page.socket.url).searchParams.get("open")).durable, true);
    page.socket.say(opened());
    page.advance(0);
    assert.deepEqual(page.socket.sent, ["a0,0"]);
    page.socket.say("lr,1,mnothing", "l", "mone");
    assert.match(again(page, "r0,0,more"), new RegExp(`^rs1,\\d+,1,1,1,${KEY}$`));
    assert.deepEqual(page.socket.sent.slice(1), []);
    assert.deepEqual(messages(session), ["one"]);
  });
}

test("who chooses transports gives it", () => {
  for (const [options, says] of [[{}, false], [{ durable: true }, true]]) {
    const page = new Browser(chosen);
    const { websocket, durable } = page.window;
    page.connect("/orders", { transports: [websocket], ...(options.durable && { durable }) });
    assert.equal("durable" in JSON.parse(new URL(page.socket.url).searchParams.get("open")), says);
  }
});

for (const [what, answer, ahead] of [
  ["has what it has", "r1,1,t2,2,1,1", false],
  ["has not what it received", "r1,1,t2,1,1,1", true],
  ["has not what was acknowledged to it", "r1,1,t2,2,0,0", true],
  ["has not what was taken", "r1,1,t2,2,1,0", true],
  ["does not know the tenure it names", "r1,1,t2", true]
]) {
  test(`a new owner that ${what}${ahead ? " ends the session with 4414, and another is opened" : ""}`, () => {
    const { page, session } = durable(code, { reopen: true });
    session.send("a");
    page.socket.say("a1,1", "mone", "mtwo");
    again(page, answer);
    assert.deepEqual(closes(session), ahead ? [[4414, false]] : []);
    const { sent } = page.sockets.at(-1);
    assert.equal(sent.includes("x4414,session,2,"), ahead);
    if (!ahead) return;
    page.advance(1000);
    assert.equal(JSON.parse(new URL(page.socket.url).searchParams.get("open")).gen > 0, true);
  });
}

test("over HTTP such an end is said by a send", () => {
  const page = new Browser(code);
  const session = page.connect("/orders", { transports: ["polling"] });
  page.request("/v1/polling").answer(200, [opened({ tenure: "t1" }), "mone"]);
  page.advance(6000);
  page.request("/v1/polling").answer(200, ["r0,0,t2,0,0,0"]);
  assert.deepEqual(closes(session), [[4414, false]]);
  assert.deepEqual(page.request("/v1/send").sent, [`us1,1,1,1,${KEY},t1`, "x4414,session,1,"]);
});

test("an answer without a tenure breaks the protocol", () => {
  for (const answer of ["r0,0", "r0,0,", "r0,0,t 1", "r0,0,t2,x,0,0"]) {
    const { page, session } = durable();
    again(page, answer);
    assert.deepEqual(closes(session), [[1002, false]], answer);
  }
});

test("behind an attached, of another tenure or not, nothing more of older carriers counts", () => {
  for (const answer of ["r0,0,t1", "r0,0,t2,0,0,0"]) {
    const page = new Browser(code), session = page.connect("/orders", { transports: ["websocket", "long_polling"] });
    page.socket.end();
    page.advance(1000);
    page.request("/v1/long_polling").answer(200, [opened({ tenure: "t1" })]);
    page.request("/v1/long_polling").answer(200, ["r0,0,t1"]);
    for (let i = 0; i < 400 && page.sockets.length < 2; i++) {
      page.advance(100);
      if (i % 100 === 99) page.request("/v1/long_polling").answer(200, ["r0,0,t1"]);
    }
    const held = page.request("/v1/long_polling");
    page.socket.accept();
    page.socket.say("q");
    page.advance(0);
    assert.match(page.socket.sent[1], /^rs1,.*,t1$/);
    assert.equal(held.aborted, undefined);
    page.socket.say(answer);
    assert.equal(held.aborted, true);
    held.answer(200, ["r0,0,t1", "mlate"]);
    assert.deepEqual(messages(session), []);
    assert.deepEqual(closes(session), []);
  }
});

test("a probe that finds another owner takes up nothing of its", () => {
  const page = new Browser(code), session = page.connect("/orders", { transports: ["long_polling", "polling"] });
  page.request("/v1/long_polling").cut();
  page.advance(1000);
  page.request("/v1/polling").answer(200, [opened({ tenure: "t1" })]);
  for (let i = 0; i < 600 && !page.pending("/v1/long_polling").length; i++) {
    page.advance(100);
    for (const one of page.pending("/v1/polling")) one.answer(200, ["r0,0,t1"]);
  }
  page.request("/v1/long_polling").answer(200, ["r0,0,t2,0,0,0", "esuperseded"]);
  page.advance(1000);
  assert.match([...page.pending("/v1/polling"), ...page.pending("/v1/long_polling")].at(-1).sent[0], /,t1$/);
  assert.deepEqual(closes(session), []);
});

test("the acks of a send's answer count only from the owner that the client has attached to", () => {
  const page = new Browser(code);
  const session = page.connect("/orders", { transports: ["long_polling"] });
  page.request("/v1/long_polling").answer(200, [opened({ tenure: "t1" })]);
  page.request("/v1/long_polling").answer(200, ["r0,0,t1"]);
  const held = page.request("/v1/long_polling");
  session.send("a");
  const send = page.request("/v1/send");
  assert.deepEqual(send.sent, [`us1,0,0,1,${KEY},t1`, "ma"]);
  send.answer(200, ["a1,1,t2"]);
  assert.deepEqual([...session.unacknowledged], ["a"]); // its word is another owner's
  assert.equal(held.aborted, true);
  assert.equal(page.pending("/v1/send").length, 0); // nothing is sent until it is known what became of the rest
  page.advance(1000);
  const next = page.request("/v1/long_polling");
  assert.match(next.sent[0], /,t1$/);
  next.answer(200, ["r1,1,t2,0,0,0"]);
  assert.deepEqual([...session.unacknowledged], []);
  session.send("b");
  page.request("/v1/send").answer(200, ["a2,2,t2"]);
  assert.deepEqual([...session.unacknowledged], []);
  assert.deepEqual(closes(session), []);
});

test("rooms are heard behind the cursors that a carrier was told", () => {
  const { page, session } = durable();
  const [first] = page.sockets;
  first.say("lchat,1.1.x", "lchat,1.2.x,mone", "la%2Cb,1.1.x,bAAH/", "mplain", "lchat,1.5.x,d2", "lleft,1.1.x,mhere", "lleft");
  page.advance(0);
  assert.equal(messages(session)[0], "one");
  assert.equal(messages(session)[2], "plain");
  assert.equal(messages(session).length, 4);
  assert.deepEqual(session.log.filter(({ type }) => type === "gap").map(({ room, cursor, missing }) => [room, cursor, missing]), [["chat", "1.5.x", 2]]);
  again(page, "r0,0,t1");
  assert.equal(page.socket.sent[1].replace(/^l\d+/, "l"), "l,chat,1.5.x,a%2Cb,1.1.x,left,1.1.x");
  first.say("lchat,1.6.x,mlate");
  page.socket.say("lchat,1.6.x,mone more");
  assert.equal(messages(session).pop(), "one more");
  assert.equal(messages(session).length, 5);
});

test("with options.cursors they say where they come from", () => {
  const page = new Browser(chosen);
  const { websocket, durable, cursors } = page.window;
  const session = page.connect("/orders", { transports: [websocket], durable, cursors: cursors() });
  page.socket.accept();
  page.socket.say(opened({ tenure: "t1" }), "lchat,1.1.x", "lchat,1.2.x,mone", "lchat,1.5.x,d0");
  const told = session.log.filter(({ room }) => room).map(({ type, room, cursor }) => [type, room, cursor]);
  assert.deepEqual(told, [["position", "chat", "1.1.x"], ["message", "chat", "1.2.x"], ["gap", "chat", "1.5.x"]]);
  assert.deepEqual({ ...session.cursors }, { chat: "1.5.x" });
});

test("behind close() rooms are heard, and not told", () => {
  const { page, session } = durable();
  session.close();
  page.socket.say("lchat,1.1.x,mone");
  assert.deepEqual(messages(session), []);
});

test("of more than 64 rooms those go that were left first", () => {
  const { page, session } = durable();
  for (let i = 0; i < 64; i++) page.socket.say(`lr${i},1.1.x`);
  page.socket.say("lr7", "lr3", "lr5", "lr3", "lr7,1.2.x,mback", "lnew,1.1.x", "lunknown");
  again(page, "r0,0,t1");
  const told = page.socket.sent[1].split(",");
  assert.equal(told.length, 129);
  assert.deepEqual(["r3", "r5", "r7", "new", "unknown"].map((room) => told.includes(room)), [false, true, true, true, false]);
  page.socket.say("lr5", "lmore,1.1.x");
  assert.deepEqual(closes(session), []);
  page.socket.say("ltoo many,1.1.x");
  assert.deepEqual(closes(session), [[1002, false]]);
});

test("plain polls that bring what rooms have sent follow each other at the least pause", () => {
  const page = new Browser(code);
  page.connect("/orders", { transports: ["polling"] });
  page.request("/v1/polling").answer(200, [opened({ tenure: "t1" })]);
  for (let i = 1; i < 20; i++) {
    page.request("/v1/polling").answer(200, ["r0,0,t1", `lchat,1.${i}.x,m`]);
    page.advance(100);
  }
});

test("what was taken of rooms is said as acks are, and like them by a part of the quarter that each session draws", () => {
  for (const [chance, quarter] of [[0, 64], [0.99, 49]]) {
    const { page } = durable(code, { random: () => chance });
    const gen = genOf(page);
    for (let i = 1; i < quarter; i++) page.socket.say(`lchat,1.${i}.x,m${i}`);
    page.advance(0);
    assert.deepEqual(page.socket.sent, []);
    page.socket.say(`lchat,1.${quarter}.x,m`);
    page.advance(0);
    assert.deepEqual(page.socket.sent, [`f${gen},${quarter}`, "a0,0"]);
    page.socket.say(`lchat,1.${quarter + 1}.x,m`);
    page.advance(500);
    assert.equal(page.socket.sent.length, 2);
    page.advance(500);
    assert.deepEqual(page.socket.sent.slice(2), [`f${gen},${quarter + 1}`, "a0,0"]);
    page.socket.say(`lchat,1.${quarter + 2}.x,m${"x".repeat(262144)}`); // a quarter of its bytes
    page.advance(0);
    assert.deepEqual(page.socket.sent.slice(4), [`f${gen},${quarter + 2}`, "a0,0"]);
  }
});

for (const transport of ["xhr_streaming", "sse"]) {
  test(`${transport}: cursors go by a send behind the attach, and what was taken by others; lost ones are said again`, () => {
    const page = new Browser(code, { without: ["WebSocket"] });
    page.connect("/orders", { transports: [transport] });
    const start = (frames) =>
      transport === "sse" ? page.stream.say(frames) : page.request("/v1/xhr_streaming").grow(" ".repeat(2048) + "\n" + JSON.stringify(frames) + "\n");
    const more = (frames) =>
      transport === "sse" ? page.stream.say(frames) : page.request("/v1/xhr_streaming").grow(JSON.stringify(frames) + "\n");
    start([opened({ tenure: "t1" }), tickets(2)]);
    page.advance(0);
    const first = page.request("/v1/send");
    assert.match(first.sent.join(), new RegExp(`^us1,0,0,1,${KEY},t1,l\\d+$`));
    more(["lchat,1.1.x,mone"]);
    first.cut();
    page.advance(2000);
    const second = page.request("/v1/send");
    assert.match(second.sent[1], /^l\d+,chat,1\.1\.x$/);
    second.answer(200, ["a0,0,t1"]);
    for (let i = 2; i < 70; i++) more([`lchat,1.${i}.x,m${i}`]);
    page.advance(0);
    const third = page.request("/v1/send");
    assert.match(third.sent[1], /^f\d+,\d\d$/);
    third.cut();
    page.advance(2000);
    assert.match(page.request("/v1/send").sent[2], /^f\d+,69$/);
  });
}

test("a poll brings the cursors, and nothing is said of what it has brought", () => {
  const page = new Browser(code);
  const session = page.connect("/orders", { transports: ["long_polling"] });
  page.request("/v1/long_polling").answer(200, [opened({ tenure: "t1" })]);
  const poll = page.request("/v1/long_polling");
  assert.match(poll.sent[1], /^l\d+$/);
  poll.answer(200, ["r0,0,t1", ...Array.from({ length: 200 }, (_, i) => `lchat,1.${i}.x,m${i}`)]);
  assert.match(page.request("/v1/long_polling").sent[1], /^l\d+,chat,1\.199\.x$/);
  page.advance(15000);
  assert.equal(page.pending("/v1/send").length, 0);
  assert.equal(messages(session).length, 200);
});

const GROUPS = [["websocket"], ["xhr_streaming", "long_polling"], ["sse", "long_polling"], ["long_polling"], ["polling"], undefined];

for (const transports of GROUPS) {
  test(`${transports || "all"}: whatever its workers and the network do, a session goes on, once and in order`, () => {
    for (let seed = 1; seed <= 4; seed++) {
      const page = new Browser(code), network = new Network(page, { rtt: 60, jitter: 0.8, seed });
      const { server } = network, chance = (share) => network.random() < share, count = 150;
      server.durable = true;
      const session = page.connect("/orders", { transports, upgrade: Boolean(!transports) });
      for (let waited = 0; !server.sessions.length && waited < 60000; waited += 100) page.advance(100);
      const [one] = server.sessions;
      for (let i = 1; i <= count; i++) {
        session.send("u" + i);
        server.room.push("r" + i);
        one.flush();
        page.advance(60 * network.random());
        if (chance(0.05)) one.takeOver(); // the one before stands still
        if (chance(0.05)) {
          one.takeOver();
          network.cut();
        }
        if (chance(0.05)) network.cut();
        if (chance(0.03)) page.advance(30000);
      }
      for (let waited = 0; one.acked < count && waited < 600000; waited += 1000) page.advance(1000);
      page.advance(60000);
      const all = messages(session), expected = Array.from({ length: count }, (_, i) => i + 1), which = `seed ${seed}`;
      assert.deepEqual(closes(session), [], which);
      assert.deepEqual(all.filter((data) => data[0] === "e"), expected.map((i) => `echo u${i}`), which);
      assert.deepEqual(all.filter((data) => data[0] === "r"), expected.map((i) => `r${i}`), which);
      assert.deepEqual(one.up, expected.map((i) => `u${i}`), which);
      assert.deepEqual([server.count, [...session.unacknowledged]], [1, []], which);
      assert.ok(one.tenures.length > 5, which);
    }
  });
}

test("where the store has lost what the page has, the session ends and another goes on; where it has not, nothing happens", () => {
  for (const transports of GROUPS) {
    for (const lost of [0, 1, 3]) {
      const page = new Browser(code), network = new Network(page, { rtt: 60 }), { server } = network;
      server.durable = true;
      const session = page.connect("/orders", { transports, reopen: true, upgrade: Boolean(!transports) });
      page.advance(3000);
      const [one] = server.sessions;
      for (let i = 0; i < 5; i++) one.send("d" + i);
      page.advance(3000);
      assert.equal(messages(session).length, 5);
      one.out.splice(5 - lost); // and later ones get the numbers of these
      one.takeOver();
      network.cut();
      one.out.push(...Array.from({ length: lost }, (_, i) => `mother ${i}`));
      page.advance(10000);
      assert.deepEqual(closes(session), lost ? [[4414, false]] : [], `${transports} ${lost}`);
      assert.equal(messages(session).length, 5);
      assert.equal(server.count, lost ? 2 : 1);
    }
  }
});
