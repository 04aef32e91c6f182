// A session that says "open" goes on, or says that it is over: whatever a page has put in place of the browser's own,
// whatever the clock does, and however soon it is closed.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { DIST } from "../build.js";
import { Browser, opened } from "./browser.js";
import { Network } from "./network.js";

const code = readFileSync(join(DIST, "realtime.js"), "utf8");
const HOUR = 3600000;

function heard(session, type = "message") {
  return session.log.filter((event) => event.type === type).map((event) => event.data ?? event.code ?? event.state);
}

/** A page and a session that has opened, on a network with a server that echoes. */
function visit(options, page = new Browser(code)) {
  const network = new Network(page, { rtt: 20 });
  const session = page.connect("/chat", options);
  page.advance(5000);
  assert.equal(session.state, "open");
  return { page, network, session };
}

// -- exceptions ----------------------------------------------------------------------------------------------------------

for (const transport of ["sse", "xhr_streaming", "multipart", "long_polling", "polling"]) {
  for (const member of ["open", "send", "abort", "setRequestHeader"]) {
    test(`${transport}: an XMLHttpRequest whose ${member} throws for a while is a request that failed`, () => {
      const { page, session } = visit({ transports: [transport, "polling"], upgrade: false });
      const { XMLHttpRequest } = page.window;
      let broken = true;
      page.window.XMLHttpRequest = class extends XMLHttpRequest {
        [member](...what) {
          if (broken) throw new Error("somebody else's");
          return super[member](...what);
        }
      };
      for (const text of ["one", "two", "three"]) {
        session.send(text);
        page.advance(1000);
      }
      broken = false;
      page.advance(20000);
      assert.deepEqual(heard(session), ["echo one", "echo two", "echo three"]);
      assert.equal(session.state, "open");
      session.close();
      page.advance(5000);
      assert.deepEqual(heard(session, "close"), [1000]);
    });
  }
}

test("an XMLHttpRequest that can't be constructed any more ends the session in words, and not in silence", () => {
  const { page, session } = visit({ transports: ["long_polling"] });
  page.window.XMLHttpRequest = function () {
    throw new Error("no more");
  };
  session.send("up");
  page.advance(400000);
  assert.deepEqual(heard(session, "close"), [4411]);
});

test("without XMLHttpRequest a stream is not taken, since nothing could go up beside it", () => {
  const page = new Browser(code, { without: ["WebSocket", "XMLHttpRequest", "document"] });
  page.run("delete window.document");
  const session = page.connect("http://app.example/chat", { transports: ["sse", "long_polling"] });
  page.advance(1);
  assert.deepEqual(heard(session, "close"), [4411]);
  assert.equal(page.streams.length, 0);
});

for (const [what, auth] of [
  ["a value", (loop) => loop],
  ["a function", (loop) => () => loop],
  ["a promise", (loop) => Promise.resolve(loop)]
]) {
  test(`auth that is no JSON, as ${what}, ends the session with a reason`, async () => {
    const page = new Browser(code);
    const loop = {};
    loop.loop = loop;
    const session = page.connect("/chat", { auth: auth(loop) });
    await new Promise((done) => setImmediate(done));
    page.advance(0);
    assert.deepEqual(heard(session, "close"), [4411]);
    assert.match(session.log.find(({ type }) => type === "close").reason, /options\.auth: TypeError/);
  });
}

// -- the clock -----------------------------------------------------------------------------------------------------------

for (const transports of [["websocket"], ["sse"], ["xhr_streaming"], ["long_polling"], ["polling"]]) {
  test(`${transports}: a clock that is set back stops nothing`, () => {
    const { page, network, session } = visit({ transports });
    const { sessions } = network.server;
    // The page's clock only: timers and the network go on.
    let back = 0;
    const { Date: Real } = page.window;
    page.window.Date = class extends Real {
      getTime() {
        return super.getTime() - back;
      }
    };
    const lose = () => {
      network.fate = () => "refuse";
      network.cut();
      page.advance(3000); // it waits for the next attempt
    };
    const starve = () => {
      network.fate = () => "hang";
      for (const link of network.live) link.gone = link.over = true; // dead, and nobody says so
    };
    for (const [number, happens] of [() => {}, lose, () => {}].entries()) {
      happens();
      back += HOUR;
      network.fate = () => "";
      sessions[0].send(`down ${number}`);
      page.advance(12000);
      session.send(`up ${number}`);
      page.advance(1000);
      assert.equal(session.state, "open");
      assert.deepEqual(heard(session).slice(-2), [`down ${number}`, `echo up ${number}`]);
    }
    starve();
    back += HOUR;
    page.advance(100000);
    assert.notEqual(session.state, "open");
  });
}

// -- what somebody else has answered --------------------------------------------------------------------------------------

test("what is no answer to a send is taken for its acks, and for no more", () => {
  for (const answer of ["r0,0", opened(), opened({ sid: "another" })]) {
    const page = new Browser(code);
    const session = page.connect("/chat", { transports: ["long_polling"] });
    page.request("/v1/long_polling").answer(200, [opened({ transport: "long_polling" })]);
    page.advance(0);
    session.send("up");
    page.request("/v1/send").answer(200, [answer]);
    page.advance(1000);
    page.request("/v1/send").answer(200, ["a1,1"]);
    assert.deepEqual([session.state, session.unacknowledged.length], ["open", 0]);
  }
});

// -- closing and opening again -----------------------------------------------------------------------------------------

test("what is sent between a close and the next session goes with that, and is counted until then", () => {
  const { page, network, session } = visit({ transports: ["websocket"], reopen: true });
  session.onclose = () => session.send("in onclose");
  network.server.sessions[0].close(1012, "restart");
  page.advance(100);
  assert.equal(session.readyState, 3);
  session.send("in the gap");
  assert.deepEqual([...session.unacknowledged], ["in onclose", "in the gap"]);
  assert.equal(session.bufferedAmount, 20);
  page.advance(3000);
  assert.equal(session.readyState, 1);
  assert.deepEqual(network.server.sessions[1].up, ["in onclose", "in the gap"]);
  assert.deepEqual([...session.unacknowledged], []);
  const { unacknowledged } = session.log.find(({ type }) => type === "close");
  assert.deepEqual([...unacknowledged], [], "the old session's are the event's");
});

test("what the old session left unacknowledged is told with its close, and is not sent again", () => {
  const { page, network, session } = visit({ transports: ["websocket"], reopen: true });
  network.fate = () => "hang";
  network.cut();
  session.send("lost");
  page.advance(200000);
  const close = session.log.find(({ type }) => type === "close");
  assert.equal(close.code, 4411);
  assert.deepEqual([...close.unacknowledged], ["lost"]);
  network.fate = () => "";
  page.advance(60000);
  assert.equal(session.state, "open");
  assert.deepEqual(network.server.sessions[1].up, []);
});

test("what is sent to the next session behind its close goes nowhere, as with the first", () => {
  const { page, network, session } = visit({ transports: ["long_polling"], reopen: true });
  network.server.sessions[0].end(1011, "failed");
  page.advance(5000);
  assert.equal(session.state, "open");
  session.send("before");
  session.close();
  session.send("behind");
  session.close();
  page.dispatch("pagehide", { persisted: false });
  assert.deepEqual(JSON.parse(page.beacons[0].body).slice(1), ["mbefore", "c1000,"]);
  assert.deepEqual([...session.unacknowledged], ["before", "behind"]);
});

test("close() in the gap: nothing is opened, and nobody listens any more", () => {
  const { page, network, session } = visit({ transports: ["websocket"], reopen: true });
  network.server.sessions[0].close(1012, "restart");
  page.advance(100);
  session.send("never");
  session.close();
  page.advance(60000);
  assert.equal(network.server.sessions.length, 1);
  assert.equal(page.timers.size, 0);
  assert.equal(Object.values(page.listeners).reduce((sum, set) => sum + set.size, 0), 0);
});

test("close() when the error is told: the close says that nothing is opened", () => {
  const { page, network, session } = visit({ transports: ["websocket"], reopen: true });
  session.onerror = () => session.close();
  network.server.sessions[0].end(1011, "failed");
  page.advance(60000);
  assert.deepEqual(
    session.log.filter(({ type }) => type === "close").map(({ code, reopening }) => [code, reopening]),
    [[1011, false]]
  );
  assert.equal(network.server.sessions.length, 1);
});

test("online in a gap that is long: the next session has all its time from when it is opened", () => {
  const page = new Browser(code);
  const session = page.connect("/chat", { transports: ["websocket"], reopen: true });
  page.run("Math").random = () => 0.99;
  page.socket.accept();
  page.socket.say(opened(), "g60", "x1012,session,0,restart");
  page.dispatch("online");
  page.advance(65000);
  page.socket.accept();
  page.socket.say(opened());
  assert.equal(session.state, "open");
});

test("a page that is left in the gap tells no second close", () => {
  const { page, network, session } = visit({ transports: ["websocket"], reopen: true });
  network.server.sessions[0].close(1012, "restart");
  page.advance(100);
  page.dispatch("pagehide", { persisted: false });
  assert.deepEqual(heard(session, "close"), [1012]);
});

for (const [what, options] of Object.entries({
  "nobody answers": {},
  "auth never comes": { auth: () => new Promise(() => {}) }
})) {
  test(`close() while connecting ends at once when nothing was sent: ${what}`, () => {
    const page = new Browser(code);
    const network = new Network(page);
    network.fate = () => "hang";
    const session = page.connect("/chat", options);
    session.close(3001, "never mind");
    assert.equal(session.readyState, 2);
    page.advance(1);
    assert.deepEqual(heard(session, "close"), [3001]);
    assert.deepEqual(heard(session, "error"), []);
    page.advance(60000);
    assert.equal(page.timers.size, 0);
    assert.equal(network.live.size, 0);
    assert.ok(network.tried.length < 3, "nothing is tried any more but what was begun, and a poll beside it");
  });
}

test("close() while connecting closes what the server has opened meanwhile, and tells of nothing more", () => {
  for (const transport of ["websocket", "xhr_streaming", "long_polling", "polling"]) {
    for (const auth of [undefined, "secret"]) {
      const page = new Browser(code);
      const network = new Network(page, { rtt: 100 });
      const session = page.connect("/chat", { transports: [transport, "polling"], auth });
      if (auth && transport === "websocket") page.advance(220); // it has said it by then
      session.close(3001, "never mind");
      page.advance(10000);
      assert.deepEqual(network.server.sessions.map(({ outcome }) => outcome), [[3001, "never mind"]], transport);
      assert.deepEqual(session.log.map(({ type, state }) => state || type), ["closing", "close", "closed"]);
      assert.equal(session.transport, "");
      page.advance(30000);
      assert.equal(page.timers.size + network.live.size, 0);
    }
  }
});

test("close() before a WebSocket has said what must not be in its URL: nothing is opened", () => {
  for (const beside of [false, true]) {
    const page = new Browser(code);
    const network = new Network(page, { rtt: 1000 });
    const session = page.connect("/chat", { transports: beside ? ["websocket", "long_polling"] : ["websocket"], auth: "secret" });
    page.advance(beside ? 400 : 100);
    session.close();
    page.advance(1);
    assert.equal(network.live.size, beside ? 2 : 0, "a poll beside it has said it");
    page.advance(60000);
    assert.equal(network.server.sessions.length, beside ? 1 : 0);
    assert.deepEqual(heard(session, "close"), [1000]);
    assert.equal(page.timers.size + network.live.size, 0);
  }
});

test("close() between two attempts to open, or while auth is waited for: there is no other", () => {
  const page = new Browser(code);
  const network = new Network(page, { rtt: 10 });
  network.fate = () => "refuse";
  const session = page.connect("/chat", { transports: ["websocket"] });
  page.advance(50);
  session.close();
  page.advance(1);
  const { length } = network.tried;
  assert.equal(page.timers.size, 0);
  page.advance(60000);
  assert.equal(network.tried.length, length);
  let give;
  page.connect("/chat", { auth: () => ({ then: (take) => (give = take) }) }).close();
  give("late");
  page.advance(60000);
  assert.equal(network.tried.length, length);
});

test("close() while connecting, and what opens is lost: it is not opened again, and nothing else is told", () => {
  for (const after of [0, 20]) {
    const page = new Browser(code);
    const network = new Network(page, { rtt: 100 });
    const session = page.connect("/chat", { transports: ["websocket"], reopen: true });
    session.close();
    page.advance(after);
    network.cut();
    page.advance(60000);
    assert.deepEqual(network.server.sessions, []);
    assert.equal(network.tried.length, 1);
    assert.deepEqual(heard(session, "close"), [1000]);
  }
});

test("close() while connecting delivers what was sent before", () => {
  const page = new Browser(code);
  const network = new Network(page, { rtt: 100 });
  const session = page.connect("/chat", {});
  session.send("all the same");
  session.close();
  page.advance(5000);
  assert.deepEqual(network.server.sessions[0].up, ["all the same"]);
  assert.deepEqual(heard(session, "close"), [1000]);
});

test("events are told one after the other, each to all its listeners", () => {
  const page = new Browser(code);
  const session = page.connect("/chat", { transports: ["websocket"] });
  session.onopen = () => session.close();
  page.socket.accept();
  page.socket.say(opened());
  assert.deepEqual(session.log.map(({ type, state }) => state || type), ["open", "closing", "transport"]);
});

// -- networks --------------------------------------------------------------------------------------------------------------

test("online: the POST that is under way is made again at once", () => {
  const { page, network, session } = visit({ transports: ["sse", "long_polling"] });
  network.fate = () => "hang"; // the connections are dead, and nobody says so
  for (const link of network.live) link.gone = link.over = true;
  session.send("up");
  page.advance(500);
  network.fate = () => "";
  page.dispatch("online");
  page.advance(200);
  assert.deepEqual(network.server.sessions[0].up, ["up"]);
});

test("a stream that is held back is judged by the next POST where the first has failed", () => {
  const page = new Browser(code);
  const network = new Network(page, { rtt: 20 });
  let posts = 0;
  network.fate = (transport) => {
    if (transport === "websocket") return "refuse";
    if (transport === "send") return posts++ ? "" : "refuse";
    return transport === "sse" ? "hang" : "";
  };
  const session = page.connect("/chat", { transports: ["websocket", "sse", "long_polling"], upgrade: false });
  page.advance(4000); // less than attachTimeout
  assert.ok(posts > 1);
  assert.equal(session.transport, "long_polling");
  assert.match(session.negotiation.find(({ name }) => name === "sse").reason, /held back/);
});

test("a wrong prefix is told after two round trips", () => {
  const page = new Browser(code);
  const session = page.connect("/wrong/chat", {});
  page.socket.end();
  page.advance(0);
  const request = page.request("/v1/long_polling");
  request.grow("404: Not Found", 404);
  request.finish();
  page.advance(0);
  const close = session.log.find(({ type }) => type === "close");
  assert.equal(close.code, 4411);
  assert.match(close.reason, /HTTP 404/);
});
