// A session in a browser that is none (browser.js), from the source and from what is shipped.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { DIST } from "../build.js";
import { Browser, opened, tickets } from "./browser.js";
import { code as source } from "./source.js";

const scripts = { source, shipped: readFileSync(join(DIST, "realtime.js"), "utf8") };

function types(session) {
  return session.log.map((event) => event.type);
}

function messages(session) {
  return session.log.filter((event) => event.type === "message").map((event) => event.data);
}

/** Whether two frames say the same, one of them perhaps of the page's own kind of bytes. */
function same(one, other) {
  if (typeof one === "string" || typeof other === "string") return one === other;
  return Buffer.from(one).equals(Buffer.from(other));
}

for (const [which, code] of Object.entries(scripts)) {
  const both = (name, run) => test(`${which}: ${name}`, run);

  both("opens over a WebSocket, talks, and closes cleanly", () => {
    const page = new Browser(code);
    const session = page.connect("/chat", { transports: ["websocket", "long_polling"] });
    assert.equal(session.url, "http://app.example/chat");
    assert.equal(session.readyState, 0);
    const socket = page.socket;
    assert.match(socket.url, /^ws:\/\/app\.example\/chat\/v1\/websocket\?open=%7B/);
    session.send("early");
    socket.accept();
    socket.say(opened());
    assert.equal(session.readyState, 1);
    assert.equal(session.transport, "websocket");
    assert.ok(socket.sent.includes("a0,0"), "the sid is confirmed at once");
    assert.ok(socket.sent.includes("mearly"));
    assert.deepEqual([...session.unacknowledged], ["early"]);
    socket.say("a1,1", "mhello", "mworld");
    assert.deepEqual(messages(session), ["hello", "world"]);
    assert.deepEqual([...session.unacknowledged], []);
    session.close(3001, "enough");
    assert.equal(session.readyState, 2);
    assert.ok(socket.sent.includes("c3001,enough"));
    socket.say("a2,2", "x3001,session,2,");
    assert.equal(session.readyState, 3);
    const { code: closed, reason, wasClean } = session.log.find((event) => event.type === "close");
    assert.deepEqual([closed, reason, wasClean], [3001, "enough", true]);
    assert.ok(!types(session).includes("error"));
    assert.equal(page.timers.size, 0, "no timer is left");
  });

  both("binary messages arrive as binaryType says", () => {
    const page = new Browser(code);
    const session = page.connect("/chat", { transports: ["websocket"] });
    page.socket.accept();
    page.socket.say(opened());
    session.binaryType = "arraybuffer";
    page.socket.say(new Uint8Array([1, 2]).buffer);
    session.binaryType = "blob";
    page.socket.say("bAAH/");
    const [buffer, blob] = messages(session);
    assert.deepEqual([...new Uint8Array(buffer)], [1, 2]);
    assert.ok(blob instanceof Blob);
    assert.equal(blob.size, 3);
  });

  both("a WebSocket that hangs is overtaken by a poll", () => {
    const page = new Browser(code);
    const session = page.connect("/chat", { transports: ["websocket", "long_polling"] });
    page.advance(240);
    assert.equal(page.requests.length, 0);
    page.advance(20);
    assert.match(page.request("/v1/long_polling").sent[0], /^o\{/);
    page.request("/v1/long_polling").answer(200, [opened({ transport: "long_polling" })]);
    page.advance(1000);
    assert.equal(session.readyState, 1);
    assert.equal(session.transport, "long_polling");
    assert.match(page.request("/v1/long_polling").sent[0], /^rs1,\d+,0,0,1,key-of-s1$/);
  });

  both("a WebSocket that is refused leaves the session to polls, which take its messages along", () => {
    const page = new Browser(code);
    const session = page.connect("/chat", { transports: ["websocket", "long_polling"], upgrade: false });
    session.send("early");
    page.socket.end();
    page.advance(0);
    const open = page.request("/v1/long_polling");
    assert.ok(open.sent.includes("mearly"));
    open.answer(200, [opened({ ack: [1, 1], transport: "long_polling" })]);
    page.advance(0);
    assert.match(page.request("/v1/long_polling").sent[0], /^rs1,\d+,0,0,2,key-of-s1$/);
    page.request("/v1/long_polling").answer(200, ["r1,1", "mhello"]);
    assert.deepEqual(messages(session), ["hello"]);
    assert.deepEqual([...session.unacknowledged], []);
  });

  for (const [kind, fits, waits, frames] of [
    ["text", "x".repeat(65536), "x".repeat(65537), (text) => ["m" + text]],
    ["text of two-byte characters", "\u00e9".repeat(32768), "\u00e9".repeat(32769), (text) => ["m" + text]],
    ["bytes", new Uint8Array(65536), new Uint8Array(65537), (data) => [data, "b" + Buffer.from(data).toString("base64")]]
  ]) {
    const said = (sent, data) => sent.some((frame) => frames(data).some((wanted) => same(frame, wanted)));

    both(`over a WebSocket ${kind} above the initial window waits for the server's o`, () => {
      const open = (data) => {
        const page = new Browser(code);
        page.connect("/chat", { transports: ["websocket"] }).send(data);
        page.socket.accept();
        return page.socket;
      };
      assert.ok(said(open(fits).sent, fits), "what fits goes at once");
      const socket = open(waits);
      assert.deepEqual(socket.sent, []);
      socket.say(opened());
      assert.ok(said(socket.sent, waits), "and the rest with the window that o names");
    });

    both(`over polls ${kind} above the initial window waits for the server's o, and what is behind it too`, () => {
      const page = new Browser(code);
      const session = page.connect("/chat", { transports: ["websocket", "polling"], upgrade: false });
      ["first", waits, "last"].forEach((each) => session.send(each));
      page.socket.end(); // so that the open of the poll takes messages along
      page.advance(0);
      assert.deepEqual(page.request("/v1/polling").sent.slice(1), ["mfirst"]);
      page.request("/v1/polling").answer(200, [opened({ ack: [1, 1], transport: "polling" })]);
      page.advance(0);
      const sent = page.requests.flatMap((request) => request.sent);
      assert.ok(said(sent, waits));
      assert.equal(sent.filter((frame) => frame === "mfirst").length, 1);
      assert.ok(sent.includes("mlast"));
    });
  }

  both("an answer that is cut counts for nothing, and is asked for again", () => {
    const page = new Browser(code);
    const session = page.connect("/chat", { transports: ["long_polling"] });
    page.request("/v1/long_polling").answer(200, [opened({ transport: "long_polling" })]);
    page.advance(0);
    page.request("/v1/long_polling").answer(200, ["r0,0", "mone"]);
    page.advance(0);
    const poll = page.request("/v1/long_polling");
    poll.grow('["r0,0","mtwo","mthr');
    poll.finish();
    assert.deepEqual(messages(session), ["one"]);
    page.advance(10000);
    assert.match(page.request("/v1/long_polling").sent[0], /^rs1,\d+,1,1,1,key-of-s1$/);
    page.request("/v1/long_polling").answer(200, ["r0,0", "mtwo", "mthree"]);
    assert.deepEqual(messages(session), ["one", "two", "three"]);
  });

  both("a session outlives its WebSocket, and nothing is lost or doubled", () => {
    const page = new Browser(code);
    const session = page.connect("/chat", { transports: ["websocket"] });
    const first = page.socket;
    first.accept();
    first.say(opened(), "mone");
    session.send("lost?");
    first.end();
    assert.equal(session.state, "detached");
    assert.equal(session.readyState, 1);
    page.advance(1000);
    page.socket.accept();
    assert.match(page.socket.sent[0], /^rs1,\d+,1,1,1,key-of-s1$/);
    page.socket.say("r0,0");
    assert.equal(session.state, "open");
    assert.ok(page.socket.sent.includes("mlost?"));
    page.socket.say("a1,1", "mtwo");
    assert.deepEqual(messages(session), ["one", "two"]);
    assert.deepEqual([...session.unacknowledged], []);
  });

  both("without a ticket for its URL a stream asks for one first, and shows no key there", () => {
    const page = new Browser(code, { without: ["WebSocket"] });
    const session = page.connect("/chat", { transports: ["sse", "long_polling"], upgrade: false });
    page.request("/v1/long_polling").answer(200, [opened({ transport: "long_polling" })]);
    page.advance(0);
    assert.equal(page.streams.length, 0);
    const asked = page.pending("/v1/send").find(({ sent }) => sent[1] === "k3");
    assert.deepEqual([...asked.sent], ["us1,0,0,1,key-of-s1", "k3"]);
    asked.answer(200, ["a0,0", tickets(2)]);
    page.advance(0);
    assert.equal(new URL(page.streams.at(-1).url).searchParams.get("frame"), "rs1,3,0,0,1,ticket-3");
    assert.equal(session.readyState, 1);
  });

  both("a stream whose question for a ticket is not answered is given up, and tried again", () => {
    const page = new Browser(code, { without: ["WebSocket"] });
    const session = page.connect("/chat", { transports: ["sse", "long_polling"], upgrade: false });
    page.request("/v1/long_polling").answer(200, [opened({ transport: "long_polling" })]);
    page.advance(0);
    page.pending("/v1/send").find(({ sent }) => sent[1] === "k3").finish();
    page.advance(3000);
    assert.equal(session.readyState, 1);
    assert.equal(page.streams.length, 0);
    const next = page.pending("/v1/send").find(({ sent }) => sent[1] === "k4") || page.request("/v1/long_polling");
    assert.ok(next, "another attempt is under way");
  });

  both("JSONP asks by scripts, and leaves nothing behind", () => {
    const page = new Browser(code, { without: ["WebSocket", "EventSource", "XMLHttpRequest"] });
    const session = page.connect("/chat", { transports: ["jsonp"] });
    assert.match(page.script.src, /^http:\/\/app\.example\/chat\/v1\/jsonp\?frame=o%7B.*&callback=\w+$/);
    page.script.answer([opened({ transport: "jsonp" }), tickets(2)]);
    page.advance(0);
    assert.equal(session.readyState, 1);
    assert.equal(new URL(page.script.src).searchParams.get("frame"), "rs1,3,0,0,1,ticket-3");
    page.script.answer(["r0,0", "mhello"]); // the next script has confirmed the sid
    page.advance(0);
    assert.deepEqual(messages(session), ["hello"]);
    session.send("up");
    page.advance(0);
    assert.match(page.request("/v1/send").sent[0], /^us1,/);
    page.request("/v1/send").answer(200, ["a1,1"]);
    assert.deepEqual([...session.unacknowledged], []);
    session.close();
    page.advance(0);
    page.request("/v1/send").answer(200, ["x1000,session,2,"]);
    assert.equal(session.readyState, 3);
    page.advance(120000);
    assert.deepEqual(page.leftovers, ["Realtime"]);
    assert.equal(page.window.document.head.children.length, 0);
    assert.equal(page.window.document.body.children.length, 0);
    assert.equal(page.timers.size, 0);
  });

  both("a second copy of the script leaves the sessions of the first alone", () => {
    const page = new Browser(code);
    const session = page.connect("/chat", { transports: ["websocket"] });
    page.run(code);
    page.socket.accept();
    page.socket.say(opened(), "mhello");
    assert.deepEqual(messages(session), ["hello"]);
  });

  both("the server's close ends the session, and says what it never took", () => {
    const page = new Browser(code);
    const session = page.connect("/chat", { transports: ["websocket"] });
    page.socket.accept();
    page.socket.say(opened());
    session.send("in time");
    session.send("too late");
    page.socket.say("a1,1", "x1011,session,1,the handler raised");
    const close = session.log.find((event) => event.type === "close");
    assert.equal(close.code, 1011);
    assert.equal(close.reason, "the handler raised");
    assert.equal(close.wasClean, false);
    assert.equal(close.reopening, false);
    assert.deepEqual([...close.unacknowledged], ["too late"]);
  });
}

test("a POST that is slow is given twice the time after each failure, and an answer that grows is waited for", () => {
  const page = new Browser(source);
  const session = page.connect("/chat", { transports: ["long_polling"], postTimeout: 1000, attachTimeout: 1000 });
  page.advance(900);
  page.request("/v1/long_polling").grow(" "); // something comes: it is alive
  page.advance(900);
  page.request("/v1/long_polling").answer(200, [opened({ transport: "long_polling" })]);
  page.advance(0);
  assert.equal(session.readyState, 1);
  session.send("large");
  const lives = [];
  for (let i = 0; i < 3; i++) {
    const began = page.now, post = page.request("/v1/send");
    while (!post.aborted) page.advance(100);
    lives.push(Math.round((page.now - began) / 1000));
    while (!page.pending("/v1/send").length) page.advance(50);
  }
  assert.deepEqual(lives, [1, 2, 4]);
  page.request("/v1/send").answer(200, ["a1,1"]);
  assert.deepEqual([...session.unacknowledged], []);
});

test("a wrong address is told as such, at once", () => {
  const page = new Browser(source);
  const session = page.connect("/chat", { transports: ["websocket", "long_polling"], reopen: true });
  page.socket.accept();
  page.socket.say("x4406,carrier,,there is no endpoint here");
  page.advance(0);
  page.request("/v1/long_polling").answer(404, ["x4406,carrier,,there is no endpoint here"]);
  page.advance(0);
  const close = session.log.find((event) => event.type === "close");
  assert.equal(close.code, 4406);
  assert.equal(close.reason, "there is no endpoint here");
  assert.equal(close.reopening, false);
  page.advance(120000);
  assert.equal(page.requests.filter((one) => !one.done).length, 0);
});

test("the endpoint's query goes with every request, its fragment with none", () => {
  const started = {
    websocket: (page) => page.socket.url,
    sse: (page) => page.stream.url,
    long_polling: (page) => page.request("/v1/long_polling").url,
    jsonp: (page) => page.script.src
  };
  for (const [name, url] of Object.entries(started)) {
    const page = new Browser(source);
    page.connect("/chat/?room=a%26b#top", { transports: [name] });
    assert.match(url(page), new RegExp(`^(http|ws)://app\\.example/chat/v1/${name}\\?room=a%26b(&[^#]*)?$`));
  }
});

test("what fails at another origin's server, and never opened, asks for allowed_origins; at the page's own nothing does", () => {
  for (const [url, asks] of [
    ["http://other.example/chat", true],
    ["/chat", false]
  ]) {
    const page = new Browser(source);
    const session = page.connect(url, { transports: ["websocket", "long_polling"] });
    page.socket.end();
    page.request("/v1/long_polling").cut();
    assert.equal(session.negotiation.length, 2);
    for (const { verdict, reason } of session.negotiation) {
      assert.equal(verdict, "demoted");
      assert.equal(/; see allowed_origins$/.test(reason), asks, reason);
    }
    page.advance(200);
    page.socket.accept();
    page.socket.say(opened());
    assert.equal(session.state, "open");
    for (const { reason } of session.negotiation) assert.doesNotMatch(reason, /allowed_origins/);
  }
});

test("wrong uses throw a sentence", () => {
  const page = new Browser(source, { without: ["EventSource"] });
  for (const [options, said] of [
    [{ transports: ["flash"] }, 'transports takes known or imported transports, not "flash"'],
    [{ transports: ["polling", null] }, "transports takes known or imported transports, not null"],
    [{ transports: [{}] }, "transports takes known or imported transports, not {}"],
    [{ transports: [] }, "transports takes known or imported transports, not undefined"],
    [{ transports: "websocket" }, 'transports takes a valid Array, not "websocket"'],
    [{ transports: null }, "transports takes a valid Array, not null"],
    [{ maxBuffered: "10" }, 'maxBuffered takes a valid Number, not "10"'],
    [{ raceDelay: -1 }, "raceDelay takes a valid Number, not -1"],
    [{ attachTimeout: NaN }, "attachTimeout takes a valid Number, not NaN"],
    [{ postTimeout: null }, "postTimeout takes a valid Number, not null"],
    [{ reopen: "no" }, 'reopen takes a valid Boolean, not "no"'],
    [{ upgrade: 0 }, "upgrade takes a valid Boolean, not 0"],
    [{ credentials: [] }, "credentials takes a valid Boolean, not []"],
    [{ requests: true }, "requests takes a valid Function, not true"],
    [{ durable: {} }, "durable takes a valid Function, not {}"],
    [{ cursors: Object.create(null, { r: { value: "1", enumerable: true } }) }, 'cursors takes a valid Function, not {"r":"1"}']
  ]) {
    assert.throws(() => page.connect("/chat", options), { name: "TypeError", message: "Realtime: options." + said });
  }
  page.connect("/chat", { maxBuffered: Infinity, raceDelay: 0, auth: null, transports: ["polling"] });
  assert.throws(() => page.run("Realtime('/chat')"), /new/);
  const session = page.connect("/chat", { maxBuffered: 10 });
  assert.throws(() => session.send("12345678901"), /maxBuffered/);
  assert.throws(() => session.send(new Blob(["no"])), /Blob/);
  assert.throws(() => session.close(999), /code 1000/);
});

test("timers are no longer than engines can wait, which would call at once otherwise", () => {
  const page = new Browser(source, { without: ["EventSource"] });
  const session = page.connect("/chat", { transports: ["long_polling"], postTimeout: Infinity, attachTimeout: Infinity });
  page.request("/v1/long_polling").answer(200, [opened()]);
  session.send("x");
  page.advance(0);
  assert.equal(page.pending("/v1/send").length, 1);
  for (const { at } of page.timers.values()) assert.ok(at - page.now < 2 ** 31, String(at));
});

test("acks of a broadcast don't all come at once: each session waits for three quarters of the delay to all of it", () => {
  for (const [chance, share] of [[0, 1], [0.5, 0.875], [0.999, 0.75025]]) {
    const page = new Browser(scripts.shipped);
    page.run("Math").random = () => chance;
    page.connect("/chat", { transports: ["websocket"] });
    const { socket } = page;
    socket.accept();
    socket.say(opened());
    const said = socket.sent.length;
    for (let i = 0; i < 3; i++) {
      socket.say("mnews");
      page.advance(Math.ceil(1000 * share) - 1 - 10 * i);
      assert.equal(socket.sent.length, said + i, `not before ${share} s`);
      page.advance(2 + 10 * i);
      assert.equal(socket.sent.at(-1), `a${i + 1},${i + 1}`);
    }
  }
});

test("and where an ack costs a request, too", () => {
  for (const [chance, wait] of [[0, 9999], [0.999, 7502]]) {
    const page = new Browser(scripts.shipped, { without: ["WebSocket"] });
    page.run("Math").random = () => chance;
    page.connect("/chat", { transports: ["xhr_streaming", "long_polling"], upgrade: false });
    page.request("/v1/long_polling").answer(200, [opened({ transport: "long_polling" })]);
    page.advance(0);
    const stream = page.request("/v1/xhr_streaming");
    stream.grow(' \n["r0,0"]\n');
    page.advance(0);
    while (page.pending("/v1/send").length) page.request("/v1/send").answer(200, ["a0,0"]), page.advance(0);
    stream.grow('["mnews"]\n');
    page.advance(wait);
    assert.equal(page.pending("/v1/send").length, 0, `not before ${wait} ms`);
    page.advance(4);
    assert.match(page.request("/v1/send").sent[0], /^us1,1,1,/);
  }
});

test("a WebSocket that tells its error by throwing where nobody listens, as `ws` does, fails like any other", () => {
  const page = new Browser(scripts.shipped);
  const session = page.connect("/chat", { transports: ["websocket", "polling"] });
  const { socket } = page;
  assert.doesNotThrow(() => socket.onerror({ type: "error", message: "socket hang up" }));
  socket.end();
  page.advance(0);
  page.request("/v1/polling").answer(200, [opened({ transport: "polling" })]);
  assert.equal(session.transport, "polling");
});

for (const [which, code] of Object.entries(scripts)) {
  test(`${which}: what is no close code is refused, whatever it is`, () => {
    const page = new Browser(code);
    const session = page.connect("/chat", { transports: ["websocket"] });
    for (const wrong of [0, 999, 1001, 2999, 5000, 30000, 3000.5, NaN, Infinity, "x", "", null, {}]) {
      assert.throws(() => session.close(wrong), /code 1000/, String(wrong));
    }
    assert.equal(session.readyState, 0);
    session.close(4999, "x".repeat(123));
    assert.ok(session.readyState >= 2);
  });
}
