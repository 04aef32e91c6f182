// What a page goes through, in virtual time: put away and taken back, frozen, hidden, asleep, offline, left.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { DIST } from "../build.js";
import { Browser, opened } from "./browser.js";

const code = readFileSync(join(DIST, "realtime.js"), "utf8");

function messages(session) {
  return session.log.filter((event) => event.type === "message").map((event) => event.data);
}

function closes(session) {
  return session.log.filter((event) => event.type === "close").map((event) => event.code);
}

/** A session that has opened over a WebSocket and received one message. */
function overWebSocket(options) {
  const page = new Browser(code);
  const session = page.connect("/chat", { transports: ["websocket"], ...options });
  const socket = page.socket;
  socket.accept();
  socket.say(opened(), "mone");
  return { page, session, socket };
}

/** The same over long-polling. */
function overPolls(options) {
  const page = new Browser(code);
  const session = page.connect("/chat", { transports: ["long_polling"], ...options });
  page.request("/v1/long_polling").answer(200, [opened({ transport: "long_polling" })]);
  page.advance(0);
  page.request("/v1/long_polling").answer(200, ["r0,0", "mone"]);
  page.advance(0);
  return { page, session };
}

test("a page that is put away lets go, says nothing, and goes on when it is back", () => {
  const { page, session, socket } = overWebSocket();
  const before = socket.sent.length;
  page.dispatch("pagehide", { persisted: true });
  assert.equal(socket.readyState, 2);
  assert.equal(socket.sent.length, before);
  session.send("while away");
  page.advance(3600000);
  assert.equal(page.sockets.length, 1, "nothing is started meanwhile");
  assert.equal(page.timers.size, 0);
  assert.deepEqual(closes(session), []);
  page.dispatch("pageshow", { persisted: true });
  page.socket.accept();
  assert.match(page.socket.sent[0], /^rs1,\d+,1,1,1,key-of-s1$/);
  page.socket.say("r0,0", "mtwo");
  assert.ok(page.socket.sent.includes("mwhile away"));
  page.socket.say("a1,1");
  assert.deepEqual(messages(session), ["one", "two"]);
  assert.deepEqual([...session.unacknowledged], []);
});

test("a page that is put away between polls asks at once when it is back", () => {
  const { page, session } = overPolls();
  const poll = page.request("/v1/long_polling");
  page.dispatch("pagehide", { persisted: true });
  assert.ok(poll.aborted);
  page.advance(60000);
  assert.equal(page.pending("/v1/long_polling").length, 0);
  assert.equal(page.beacons.length, 0);
  page.dispatch("pageshow", { persisted: true });
  page.request("/v1/long_polling").answer(200, ["r0,0", "mtwo"]);
  assert.deepEqual(messages(session), ["one", "two"]);
});

test("a frozen page is a page put away, also when both are told", () => {
  const { page, session, socket } = overWebSocket();
  page.dispatch("pagehide", { persisted: true });
  page.document("freeze");
  assert.equal(socket.readyState, 2);
  page.document("resume");
  page.dispatch("pageshow", { persisted: true });
  assert.equal(page.sockets.filter((one) => one.readyState < 2).length, 1, "one carrier, not two");
  page.socket.accept();
  page.socket.say("r0,0", "mtwo");
  assert.deepEqual(messages(session), ["one", "two"]);
  assert.deepEqual(closes(session), []);
});

test("a page that was away too long is told by the server that the session is over", () => {
  const { page, session } = overWebSocket({ reopen: true });
  page.dispatch("pagehide", { persisted: true });
  session.send("never");
  page.advance(24 * 3600000);
  page.dispatch("pageshow", { persisted: true });
  page.socket.accept();
  page.socket.say("x4410,session,0,resume_window");
  const close = session.log.find((event) => event.type === "close");
  assert.equal(close.code, 4410);
  assert.deepEqual([...close.unacknowledged], ["never"]);
  assert.equal(close.reopening, true);
  page.advance(1000);
  assert.match(page.socket.url, /\?open=/);
});

test("a page that is left closes its session on the WebSocket", () => {
  const { page, session, socket } = overWebSocket();
  page.dispatch("pagehide", { persisted: false });
  assert.ok(socket.sent.includes("c1001,"));
  assert.equal(socket.readyState, 2);
  assert.deepEqual(closes(session), [1001]);
  assert.equal(page.timers.size, 0);
});

test("a page that is left closes its session by a beacon where it has no WebSocket, behind what was not sent", () => {
  const { page, session } = overPolls();
  session.send("last words");
  const sending = page.request("/v1/send");
  page.dispatch("pagehide", { persisted: false });
  assert.ok(sending.aborted);
  const [{ url, body }] = page.beacons;
  assert.equal(url, "http://app.example/chat/v1/send");
  const [head, ...frames] = JSON.parse(body);
  assert.match(head, /^us1,1,1,1,key-of-s1$/);
  assert.deepEqual(frames, ["mlast words", "c1001,"]);
  assert.deepEqual(closes(session), [1001]);
});

test("so it does where close() was called twice", () => {
  const { page, session } = overPolls();
  session.send("last words");
  session.close();
  session.close();
  page.dispatch("pagehide", { persisted: false });
  assert.deepEqual(JSON.parse(page.beacons[0].body).slice(1), ["mlast words", "c1000,"]);
});

test("what is too much for a beacon is given up, and the session still ends", () => {
  const { page, session } = overPolls();
  session.send("x".repeat(100000));
  page.dispatch("pagehide", { persisted: false });
  assert.match(JSON.parse(page.beacons[0].body)[1], /^x1001,session,,/);
  assert.equal([...session.log.find((event) => event.type === "close").unacknowledged].length, 1);
});

test("a page that is left and has no beacon goes quietly", () => {
  const page = new Browser(code);
  delete page.window.navigator.sendBeacon;
  const session = page.connect("/chat", { transports: ["long_polling"] });
  page.request("/v1/long_polling").answer(200, [opened({ transport: "long_polling" })]);
  page.advance(0);
  page.dispatch("pagehide", { persisted: false });
  assert.deepEqual(closes(session), [1001]);
  assert.equal(page.pending("/v1/long_polling").length, 0);
});

test("online: what seems to live is started anew beside itself, and goes on until that is attached", () => {
  const { page, session, socket } = overWebSocket();
  page.dispatch("offline");
  page.advance(1000);
  page.dispatch("online");
  assert.equal(page.sockets.length, 2);
  socket.say("mtwo");
  page.socket.accept();
  page.socket.say("r0,0", "mtwo", "mthree");
  assert.equal(socket.readyState, 2, "the one before is let go of");
  assert.deepEqual(messages(session), ["one", "two", "three"]);
  page.advance(15000);
  assert.equal(page.sockets.length, 2);
});

test("online: a wait is cut short, and what failed is tried again", () => {
  const { page, session, socket } = overWebSocket();
  socket.end();
  for (let i = 0; i < 7; i++) {
    page.advance(20000); // within what the session lives without contact
    for (const one of page.sockets) if (one.readyState < 2) one.end();
  }
  const before = page.sockets.length;
  page.dispatch("online");
  assert.equal(page.sockets.length, before + 1);
  page.socket.accept();
  page.socket.say("r0,0");
  assert.equal(session.state, "open");
});

test("a page that slept does not trust what it had, and goes on", () => {
  const { page, session } = overWebSocket();
  page.sleep(60000);
  page.advance(1000);
  assert.equal(page.sockets.length, 2);
  page.socket.accept();
  page.socket.say("r0,0", "mtwo");
  assert.deepEqual(messages(session), ["one", "two"]);
});

test("a page that slept for longer than its session is kept says so, and what was never acknowledged", () => {
  const { page, session } = overWebSocket();
  session.send("never");
  page.sleep(600000);
  const close = session.log.find((event) => event.type === "close");
  assert.equal(close.code, 4411);
  assert.deepEqual([...close.unacknowledged], ["never"]);
});

test("a hidden page whose timers are slow catches up when it is seen", () => {
  const { page, session } = overPolls();
  for (let i = 0; i < 4; i++) {
    page.request("/v1/long_polling").cut();
    if (i < 3) page.advance(2000);
  }
  page.document("visibilitychange");
  assert.equal(page.pending("/v1/long_polling").length, 0);
  page.now += 8000; // its timer has not fired
  page.document("visibilitychange");
  page.request("/v1/long_polling").answer(200, ["r0,0", "mtwo"]);
  assert.deepEqual(messages(session), ["one", "two"]);
});

test("when all is over nobody listens any more", () => {
  const { page, session, socket } = overWebSocket();
  session.close();
  socket.say("a1,1", "x1000,session,1,");
  const left = [page.listeners, page.window.document.listeners].flatMap((all) => Object.values(all).map((set) => set.size));
  assert.equal(
    left.reduce((a, b) => a + b, 0),
    0
  );
});

for (const transport of ["websocket", "long_polling", "polling"]) {
  test(`${transport}: told to come later, and put away or asleep meanwhile, a page asks once when it is back, and then waits`, () => {
    const waits = ["x4503,carrier,,come back later"];
    const asked = ({ sockets, requests }) => sockets.length + requests.length;
    const refuse = (page) => {
      if (transport === "websocket") {
        const { socket } = page;
        socket.accept();
        socket.say(...waits);
      } else page.pending("/v1/" + transport).at(-1).answer(503, waits);
    };
    const away = {
      "put away": (page) => {
        page.dispatch("pagehide", { persisted: true });
        page.advance(60000);
        page.dispatch("pageshow", { persisted: true });
      },
      frozen: (page) => {
        page.dispatch("pagehide", { persisted: true });
        page.document("freeze");
        page.advance(60000);
        page.document("resume");
        page.dispatch("pageshow", { persisted: true });
      },
      asleep: (page) => page.sleep(60000),
      "asleep, and on another network": (page) => {
        page.now += 60000;
        page.dispatch("online");
        page.advance(0);
      }
    };
    for (const [how, goes] of Object.entries(away)) {
      for (const isOpen of [false, true]) {
        const page = new Browser(code);
        const session = page.connect("/chat", { transports: [transport], upgrade: false });
        if (isOpen && transport === "websocket") {
          const { socket } = page;
          socket.accept();
          socket.say(opened());
          socket.end();
        } else if (isOpen) page.request("/v1/" + transport).answer(200, [opened({ transport })]);
        page.advance(250); // between two plain polls there is a pause
        refuse(page);
        const before = asked(page);
        page.advance(100);
        assert.equal(asked(page), before, how);
        goes(page);
        page.document("visibilitychange");
        page.advance(0);
        assert.equal(asked(page), before + 1, how);
        refuse(page);
        page.advance(300);
        assert.equal(asked(page), before + 1, how);
        page.advance(3000);
        assert.equal(asked(page), before + 2, how);
        assert.deepEqual(closes(session), []);
      }
    }
  });
}
