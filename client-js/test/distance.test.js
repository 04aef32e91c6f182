// Distance as a dimension: sessions that open, move, resume and close, at every round trip and with jitter, in the
// browser's own time. And pairs: what opened × what is allowed later, what was lost × what is refused next.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Browser } from "./browser.js";
import { Network } from "./network.js";
import { code } from "./source.js";

const DISTANCES = [0, 60, 150, 250, 600].flatMap((rtt) => [0, 1].map((jitter) => ({ rtt, jitter })));
// Most wanted first, as the server wants them.
const ALL = ["websocket", "sse", "xhr_streaming", "multipart", "htmlfile", "long_polling", "polling", "jsonp"];
const STREAMS = ALL.slice(1, 5);

/** A page on such a network, with one session. `href`: a page of another origin has to connect anew for everything. */
function visit(distance, options, fate, seed = 1) {
  const page = new Browser(code);
  const network = new Network(page, { ...distance, seed });
  if (fate) network.fate = fate(page);
  const session = page.connect("/chat", options);
  const sent = [];
  return {
    page,
    network,
    session,
    say(text = `m${sent.length + 1}`) {
      sent.push(text);
      session.send(text);
    },
    /** A message each 100 ms, so long. */
    talk(milliseconds) {
      for (let passed = 0; passed < milliseconds; passed += 100) {
        if (session.readyState < 2) this.say();
        page.advance(100);
      }
    },
    /** Both accounts agree: once and in order, both ways, in one session. */
    check() {
      const heard = session.log.filter((event) => event.type === "message").map((event) => event.data);
      const { sessions } = network.server;
      assert.equal(sessions.length, 1, "one session, however often it was opened");
      assert.deepEqual(sessions[0].up, sent);
      assert.deepEqual(heard, sent.map((text) => "echo " + text));
      assert.equal(session.unacknowledged.length, 0);
    },
    closed() {
      const event = session.log.find((one) => one.type === "close");
      return event && [event.code, event.wasClean];
    }
  };
}

for (const distance of DISTANCES) {
  const at = `${distance.rtt} ms${distance.jitter ? " and jitter" : ""}`;

  test(`${at}: first sessions open, talk and close`, () => {
    for (let seed = 1; seed <= (distance.jitter ? 12 : 4); seed++) {
      const { page, network, session, say, check, closed } = visit(distance, {}, null, seed);
      say();
      page.advance(6000);
      check();
      assert.equal(session.transport, "websocket");
      session.close();
      page.advance(3000);
      assert.deepEqual(closed(), [1000, true]);
      assert.deepEqual(network.server.sessions[0].outcome, [1000, ""]);
    }
  });

  test(`${at}: a page whose WebSockets are refused at first is on one soon`, () => {
    const refused = (page) => (transport) => (transport === "websocket" && page.now < page.start + 6000 ? "refuse" : "");
    const visited = visit(distance, {}, (page) => refused(Object.assign(page, { start: page.now })));
    visited.talk(20000);
    assert.equal(visited.session.transport, "websocket");
    visited.page.advance(5000);
    visited.check();
  });

  test(`${at}: a session survives cuts on every transport, and closes`, () => {
    for (const name of ALL) {
      const visited = visit(distance, { transports: [name], upgrade: false });
      const { page, network, session, closed } = visited;
      page.advance(5000);
      assert.equal(session.transport, name);
      for (let cut = 0; cut < 4; cut++) {
        visited.talk(700);
        network.cut();
      }
      visited.talk(500);
      page.advance(20000);
      visited.check();
      visited.say("last");
      session.close(3001, "enough"); // what comes down from now on is discarded
      page.advance(10000);
      assert.equal(network.server.sessions[0].up.pop(), "last");
      assert.deepEqual([name, ...closed()], [name, 3001, true]);
      assert.deepEqual(network.server.sessions[0].outcome, [3001, "enough"]);
    }
  });

  test(`${at}: a server closes, on every transport`, () => {
    for (const name of ALL) {
      const visited = visit(distance, { transports: [name], upgrade: false });
      visited.page.advance(5000);
      visited.talk(1000);
      visited.page.advance(3000);
      visited.network.server.sessions[0].close(3500, "done");
      visited.page.advance(10000);
      visited.check();
      assert.deepEqual([name, ...visited.closed()], [name, 3500, true]);
      assert.deepEqual(visited.network.server.sessions[0].outcome, [3500, "done"], "it was acknowledged");
    }
  });
}

for (const [i, wanted] of ALL.entries()) {
  for (const lesser of ALL.slice(i + 1)) {
    const transports = [wanted, lesser];
    const between = STREAMS.includes(wanted) && STREAMS.includes(lesser); // from one to another nothing is won

    test(`opened on ${lesser}, ${wanted} allowed later`, () => {
      const visited = visit({ rtt: 60 }, { transports }, (page) => {
        const until = page.now + 6000;
        return (transport) => (transport === wanted && page.now < until ? "refuse" : "");
      });
      visited.talk(5500);
      assert.equal(visited.session.transport, lesser);
      visited.talk(20000);
      assert.equal(visited.session.transport, between ? lesser : wanted);
      visited.page.advance(5000);
      visited.check();
    });
  }
  for (const next of ALL.filter((name) => name !== wanted)) {
    test(`lost on ${wanted}, and ${next} refused next`, () => {
      const visited = visit({ rtt: 60 }, { transports: [wanted, next] });
      visited.page.advance(3000);
      visited.talk(1000);
      const { page, network, session } = visited;
      const lost = session.transport, other = lost === wanted ? next : wanted, until = page.now + 8000;
      // What carried is cut and refused, and so is the other for a while: nothing gets through at all.
      network.fate = (transport) => (transport === lost || page.now < until ? "refuse" : "");
      network.cut();
      visited.talk(30000);
      assert.equal(session.transport, other);
      assert.equal(session.state, "open");
      page.advance(5000);
      visited.check();
    });
  }
}

test("a WebSocket handshake that gets no answer blocks no later one", () => {
  for (const transports of [["websocket"], ["websocket", "xhr_streaming"], ALL]) {
    const visited = visit({ rtt: 20 }, { transports });
    const { page, network, session } = visited;
    page.advance(3000);
    let hung = 0;
    network.fate = (transport) => (transport === "websocket" && !hung++ ? "hang" : "");
    network.cut();
    visited.talk(30000);
    assert.equal(session.transport, "websocket");
    page.advance(5000);
    visited.check();
  }
});

test("a poll that hangs after quick failures is not waited for longer than one that hangs at once", () => {
  const visited = visit({ rtt: 20 }, { transports: ["polling"] });
  const { page, network, session } = visited;
  page.advance(2000);
  let requests = 0;
  network.fate = () => (++requests <= 6 ? "refuse" : requests === 7 ? "hang" : "");
  network.cut();
  for (let waited = 0; requests < 7; waited += 100) {
    assert.ok(waited < 20000);
    page.advance(100);
  }
  page.advance(5000 + 3000); // attachTimeout, and a pause
  assert.ok(requests > 7, "it was asked again");
  visited.say();
  page.advance(3000);
  assert.equal(session.state, "open");
  visited.check();
});

test("time-outs double the patience, up to half of what the session has left", () => {
  const visited = visit({ rtt: 20 }, { transports: ["polling"], attachTimeout: 2000 });
  const { page, network, session, closed } = visited;
  page.advance(3000);
  network.fate = () => "hang";
  network.cut();
  network.tried.length = 0;
  page.advance(200000);
  assert.deepEqual(closed(), [4411, false]);
  const gaps = network.tried.slice(1).map(([, when], i) => (when - network.tried[i][1]) / 1000);
  assert.ok(gaps[0] < 4 && gaps[1] > 4 && gaps[2] > 8 && gaps[3] > 16, `${gaps}`);
  assert.ok(Math.max(...gaps) < 42 + 10, `${gaps}`);
  assert.ok(network.tried.length > 6, `${gaps}`);
  assert.equal(session.readyState, 3);
});

test("the ack of the server's close is repeated when it is not answered", () => {
  const visited = visit({ rtt: 20 }, { transports: ["sse", "long_polling"] });
  const { page, network, closed } = visited;
  page.advance(5000);
  visited.talk(500);
  let hung = 0;
  network.fate = (transport) => (transport === "send" && hung++ < 2 ? "hang" : "");
  network.server.sessions[0].close(3500, "done");
  page.advance(1000);
  assert.deepEqual(closed(), [3500, true]);
  assert.equal(network.server.sessions[0].outcome, null, "the server waits for the ack");
  page.advance(30000);
  assert.deepEqual(network.server.sessions[0].outcome, [3500, "done"]);
  assert.equal(hung, 3);
});

for (const transports of [["websocket"], ["sse"], ["xhr_streaming"], ["websocket", "sse"]]) {
  test(`what cuts ${transports.join(" and ")} at the first message is not run into again and again`, () => {
    const visited = visit({ rtt: 2 }, { transports });
    const { page, network, session } = visited;
    page.advance(2000);
    network.fate = (transport) => (transport === "send" || transport.endsWith("polling") ? "" : "kill");
    network.cut();
    network.tried.length = 0;
    const { sessions } = network.server;
    for (let second = 0; second < 60; second++) {
      sessions[0].send("down");
      page.advance(1000);
    }
    const carriers = network.tried.filter(([transport]) => transport !== "send").length;
    assert.ok(carriers < 40, `${carriers} carriers in a minute`);
    network.fate = () => "";
    page.advance(30000);
    assert.equal(session.state, "open");
    const heard = session.log.filter((event) => event.type === "message");
    assert.equal(heard.length, 60);
  });
}
