// Events (docs/events.md, docs/protocol.md §11): the vectors of packets, and namespaces, answers and errors against a server that the
// test plays. The real one is in tests/client_js.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { read, write } from "../src/packets.js";
import { DIST, SOURCE, tree } from "../build.js";
import { Browser, opened } from "./browser.js";

const TYPES = { connect: 0, disconnect: 1, event: 2, ack: 3, connect_error: 4 };

/** A value of the vectors, in which {base64} is binary. */
function plain(value) {
  if (Array.isArray(value)) return value.map(plain);
  if (!value || typeof value !== "object") return value;
  if (Object.keys(value).join() === "base64") return new Uint8Array(Buffer.from(value.base64, "base64"));
  const copy = JSON.parse(JSON.stringify(value)); // which has a member __proto__
  for (const key of Object.keys(copy)) Object.defineProperty(copy, key, { value: plain(copy[key]), enumerable: true });
  return copy;
}

/** What these messages are, with what is said by binary ones as bytes. */
function decode(messages) {
  const come = [];
  let found;
  for (const message of messages) {
    assert.ok(!found, "it goes on behind its end");
    come.push(typeof message === "string" ? message : message.slice().buffer);
    found = read(come);
  }
  assert.ok(found, "attachments are missing");
  return found;
}

function bytes(value) {
  if (value instanceof ArrayBuffer) return new Uint8Array(value);
  if (!value || typeof value !== "object") return value;
  for (const key of Object.keys(value)) Object.defineProperty(value, key, { value: bytes(value[key]), enumerable: true });
  return value;
}

const copy = (value) => value instanceof Uint8Array && value.slice();

test("events.json", () => {
  const vectors = JSON.parse(readFileSync(new URL("../../tests/vectors/" + "events" + ".json", import.meta.url), "utf8"));
  const ours = vectors.filter(({ version }) => version === 5); // 3 and 4 are those of old clients of Socket.IO
  assert.ok(ours.length > 90, "too few");
  for (const { name, messages, means, error, canonical } of ours) {
    const wire = plain(messages);
    if (error) continue; // below, by the whole client
    const [kind, id, data, namespace] = decode(wire);
    assert.deepEqual([kind, namespace, id && +id], [TYPES[means.type], means.namespace, means.id ?? ""], name);
    assert.deepEqual(bytes(data), plain(means.data), name);
    if (canonical) assert.deepEqual([...write(copy, kind, means.namespace, plain(means.data), id)], wire, name);
  }
});

const script = (realtime, events, directory) =>
  tree(
    `import Realtime from "./${realtime}"; import { EventError, events } from "./${events}"; Object.assign(window, { Realtime, EventError, events });`,
    directory,
    "ascii",
    { format: "iife" }
  );
const scripts = {
  source: await script("index.js", "namespaces.js", SOURCE),
  shipped: await script("realtime.mjs", "events.mjs", DIST)
};
for (const one of ["realtime", "events"]) scripts.plain = (scripts.plain || "") + readFileSync(`${DIST}/${one}.js`, "utf8");
scripts.plain += "events = RealtimeEvents; EventError = events.EventError;";

/** A page whose session is open by a WebSocket; what it has sent is in `sent`. */
function start(code, { options = {}, auth, refused } = {}) {
  const page = new Browser(code);
  const session = page.connect("/chat", { transports: ["websocket"], ...options });
  const chat = page.window.events(session, auth && { auth });
  const { socket } = page;
  const sent = () => [...socket.sent.splice(0)].filter((one) => typeof one !== "string" || one.startsWith("m")).map(shown);
  const say = (...packets) => socket.say(...packets.map((one) => (typeof one === "string" ? "m" + one : one)));
  const told = [];
  for (const event of ["connect", "connect_error", "disconnect"]) chat.on(event, (what) => told.push([event, what?.message ?? what]));
  socket.accept();
  socket.say(opened());
  if (!refused) {
    say('0{"sid":"me"}');
    sent();
  }
  return { page, session, chat, socket, sent, say, told };
}

/** A message as it was sent: text, or its bytes. */
function shown(message) {
  return typeof message === "string" ? message.slice(1) : [...new Uint8Array(message)];
}

const settled = () => new Promise((resolve) => setImmediate(resolve));
const binary = (...numbers) => new Uint8Array(numbers).buffer;
const same = (found, wanted) => assert.deepEqual(JSON.parse(JSON.stringify(found)), wanted);

for (const [which, code] of Object.entries(scripts)) {
  test(`${which}: it asks for its namespace, and what is sent before that waits`, () => {
    const { chat, sent, say, told, session } = start(code, { auth: { token: 1 }, refused: true });
    chat.emit("early", 1, [new Uint8Array([1, 2])]);
    chat.of("/admin").emit("early", 2);
    assert.deepEqual(sent(), ['0{"token":1}', "0/admin,"]);
    assert.equal(chat.connected, false);
    say('0{"sid":"me"}');
    assert.deepEqual([chat.connected, chat.id, told], [true, "me", [["connect", undefined]]]);
    assert.deepEqual(sent(), ['51-["early",1,[{"_placeholder":true,"num":0}]]', [1, 2]]);
    assert.equal(chat.of("/admin"), chat.of("/admin"));
    assert.equal(chat.of("/"), chat);
    say('0/admin,{"sid":"there"}');
    assert.deepEqual(sent(), ['2/admin,["early",2]']);
    assert.equal(session.readyState, 1);
  });

  test(`${which}: options that are wrong throw a sentence`, () => {
    const { page, session, chat, sent } = start(code, { auth: { token: 1 } });
    page.run("Object.prototype.somebodys = function () {}");
    for (const [options, said] of [
      [{ timout: 10 }, '{"timout":10}'],
      [{ emit: 1 }, '{"emit":1}'],
      [{ timeout: "10" }, '{"timeout":"10"}'],
      [{ timeout: -1 }, '{"timeout":-1}'],
      [{ timeout: NaN }, '{"timeout":null}'],
      [{ timeout: null }, '{"timeout":null}'],
      ["/admin", '"/admin"']
    ]) {
      const message = "Realtime: wrong options: " + said;
      assert.throws(() => page.window.events(session, options), { name: "TypeError", message });
      assert.throws(() => chat.of("/other", options), { name: "TypeError", message });
    }
    assert.deepEqual([chat.timeout, chat.auth, chat.of("/other").timeout, typeof chat.emit], [5000, { token: 1 }, 5000, "function"]);
    for (const timeout of [undefined, 0, 10, Infinity]) {
      assert.equal(chat.of("/other", { timeout, auth: undefined }).timeout, timeout ?? 5000);
    }
    assert.deepEqual(sent(), ["0/other,"]);
  });

  test(`${which}: what is no session is named`, () => {
    const { page } = start(code);
    for (const given of ["/chat", undefined, null, 5, {}]) {
      assert.throws(() => page.window.events(given), { name: "TypeError", message: "Realtime: no Realtime: " + given });
    }
  });

  test(`${which}: calls are answered, once, by values, bytes, nothing and errors`, async () => {
    const { chat, sent, say, page } = start(code);
    const calls = ["a", "b", "c", "d"].map((name) => chat.call(name, 1));
    assert.deepEqual(sent(), ['21["a",1]', '22["b",1]', '23["c",1]', '24["d",1]']);
    say("31[]", "33[1,2]", '61-2[{"_placeholder":true,"num":0}]', binary(7), '34[{"_error":"taken","message":"it is","data":5}]', '31["again"]', '399["nobody"]', '30["nobody"]');
    assert.equal(await calls[0], undefined);
    assert.deepEqual([...new Uint8Array(await calls[1])], [7]);
    same(await calls[2], [1, 2]);
    await assert.rejects(calls[3], { code: "taken", message: "it is", data: 5 });
    const late = chat.call("late");
    page.advance(5001);
    await assert.rejects(late, { code: "timeout" });
    say('35["late"]');
    const heard = [];
    chat.timeout = Infinity;
    chat.emit("e", (...answer) => heard.push(answer));
    page.advance(10000);
    say('36["fine"]');
    same(heard, [[null, "fine"]]);
  });

  test(`${which}: listeners answer by what they return, promise or throw`, async () => {
    const { chat, sent, say, page } = start(code);
    const { EventError } = page.window, seen = [];
    chat.on("value", (...args) => args);
    chat.on("value", () => "second");
    chat.on("nothing", () => {});
    chat.on("null", () => null);
    chat.on("bytes", () => ({ a: [new Uint8Array([9])] }));
    chat.on("promise", async (what) => what);
    chat.on("taken", () => {
      throw new EventError("no", "taken", [1]);
    });
    chat.on("rejects", () => Promise.reject(new EventError("no")));
    chat.on("circle", () => {
      const circle = [];
      return (circle[0] = circle);
    });
    chat.once("once", () => seen.push("once"));
    const off = () => seen.push("off");
    chat.on("off", off);
    chat.off("off", off);
    say('21["value",1,[2]]', '22["nothing"]', '23["null"]', '24["bytes"]', '25["taken"]', '26["once"]', '27["once"]', '28["off"]');
    assert.deepEqual(sent(), [
      "31[[1,[2]]]",
      "32[]",
      "33[null]",
      '61-4[{"a":[{"_placeholder":true,"num":0}]}]',
      [9],
      '35[{"_error":"taken","message":"no","data":[1]}]',
      "36[1]",
      "37[{\"_error\":\"unknown\",\"message\":\"no handler of once\"}]",
      "38[{\"_error\":\"unknown\",\"message\":\"no handler of off\"}]"
    ]);
    say('29["promise","later"]', '210["rejects"]');
    await settled();
    assert.deepEqual(sent().sort(), ['310[{"_error":"error","message":"no"}]', '39["later"]']);
    say('211["circle"]');
    const [ack] = sent();
    assert.equal(ack.slice(0, 3), "311");
    assert.deepEqual(JSON.parse(ack.slice(3)), [{ _error: "failed", message: "the handler failed" }]);
    assert.throws(() => page.advance(0), /circular/i); // the page is told
    chat.on("*", (...args) => void seen.push(args));
    say('2["*",1]', '2["__proto__",2]', '51-["in",{"x":{"_placeholder":true,"num":0}}]', binary(1));
    assert.deepEqual(seen.slice(0, 3), ["once", ["*", 1], ["__proto__", 2]]);
    assert.equal(seen[3][1].x.byteLength, 1);
  });

  test(`${which}: whoever is told of an end ends the rest, and nobody is told twice`, () => {
    const { chat, say, page } = start(code);
    const { EventError } = page.window, heard = [];
    for (const name of ["a", "b", "c"]) {
      chat.emit(name, (error) => {
        heard.push([name, error.code]);
        chat.disconnect();
        if (name === "b") throw new EventError("stops nobody");
      });
    }
    say("1");
    assert.deepEqual(heard, [["a", "closed"], ["b", "closed"], ["c", "closed"]]);
    assert.throws(() => page.advance(0), /stops nobody/);
  });

  test(`${which}: listeners may come and go while they are called, and off() without one takes all away`, () => {
    const { chat, say } = start(code), heard = [];
    const second = () => heard.push("second");
    chat.on("a", function () {
      heard.push(this === chat);
      chat.off("a", second);
      chat.on("a", () => heard.push("late"));
    });
    chat.on("a", second);
    say('2["a"]');
    assert.deepEqual(heard.splice(0), [true]);
    chat.off("a");
    chat.on("b", second);
    chat.on("b", second);
    say('2["a"]', '2["b"]');
    assert.deepEqual(heard, ["second"]);
  });

  test(`${which}: refusals, leaving, and being put out`, async () => {
    const { chat, sent, say, told } = start(code, { refused: true });
    const waiting = chat.call("a");
    sent();
    say('4{"message":"who are you?","data":{"login":"/login"}}');
    await assert.rejects(waiting, { code: "refused", message: "who are you?" });
    assert.throws(() => chat.emit("a"), { code: "refused" });
    assert.deepEqual(told, [["connect_error", "who are you?"]]);
    chat.of("/", { auth: { name: "ada" } });
    assert.deepEqual(sent(), ['0{"name":"ada"}']);
    say('0{"sid":"me"}');
    const unanswered = chat.call("b");
    chat.disconnect();
    chat.disconnect();
    await assert.rejects(unanswered, { code: "closed" });
    assert.deepEqual(sent(), ['22["b"]', "1"]);
    assert.throws(() => chat.emit("c"), { code: "closed" });
    // It asks again before the server knows: what comes meanwhile was for the first time.
    chat.of("/");
    chat.disconnect();
    chat.of("/");
    say('2["under way"]', '0{"sid":"first"}', '2["under way"]');
    assert.equal(chat.connected, false);
    say('0{"sid":"second"}');
    assert.deepEqual([chat.connected, chat.id], [true, "second"]);
    say("1", '2["late"]', '2/nowhere,["x"]');
    assert.deepEqual(told.slice(1), [
      ["connect", undefined],
      ["disconnect", "io client disconnect"],
      ["connect", undefined],
      ["disconnect", "io server disconnect"]
    ]);
  });

  test(`${which}: what the server may not say ends the session`, () => {
    const long = "x".repeat(65000);
    for (const [said, code_] of [
      ["nonsense", 4002],
      ['2["connect"]', 4002],
      [binary(1), 4002],
      ['0{"sid":5}', 4002],
      ['565-["a"]', 4009]
    ]) {
      const { session, say, page } = start(code, { refused: true });
      say(said);
      assert.equal(session.state, "closing", said);
      page.socket.say("a2,2");
      page.advance(60000);
      assert.equal(session.log.find(({ type }) => type === "close").code, code_);
    }
    const { session, say } = start(code);
    say('564-["a"]');
    say(binary());
    for (let i = 0; i < 62; i++) say(new TextEncoder().encode(long).buffer);
    assert.equal(session.state, "open");
    say(new Uint8Array(200000).buffer);
    assert.equal(session.state, "closing");
  });

  test(`${which}: each branch of the decoder ends the session, and nothing of it is told`, () => {
    const vectors = JSON.parse(readFileSync(new URL("../../tests/vectors/" + "events" + ".json", import.meta.url), "utf8"));
    const bad = vectors.filter(({ version, from, error }) => error && version === 5 && from !== "client");
    assert.ok(bad.length > 50, "too few");
    for (const { name, messages, error } of bad) {
      const { session, chat, say, page, sent } = start(code), heard = [];
      chat.on("*", (event) => heard.push(event));
      say(...plain(messages).map((one) => (typeof one === "string" ? one : one.slice().buffer)), '2["next"]');
      assert.equal(session.state, "closing", name);
      assert.deepEqual([heard.filter((event) => event === "next"), sent().slice(1)], [[], []], name);
      page.socket.say("a2,2");
      page.advance(60000);
      assert.equal(session.log.find(({ type }) => type === "close").code, 3000 + error, name);
    }
    assert.equal({}.admin, undefined);
  });

  test(`${which}: attachments that do not come in time end the session`, () => {
    const { session, say, page, told } = start(code);
    say('52-["a",{"_placeholder":true,"num":0}]');
    page.advance(29999);
    say(binary(1));
    assert.equal(session.state, "open");
    page.advance(1);
    assert.equal(session.state, "closing");
    page.socket.say("a2,2");
    page.advance(60000);
    assert.equal(session.log.find(({ type }) => type === "close").code, 4002);
    assert.deepEqual(told.at(-1), ["disconnect", "transport close"]);
    // Those that came in time are waited for no more, and no next session ends for what was missing in the one before.
    const next = start(code, { options: { reopen: true } });
    next.chat.on("a", () => next.told.push("a"));
    next.say('51-["a"]', binary(1));
    next.page.advance(31000);
    assert.deepEqual([next.session.readyState, next.told.at(-1)], [1, "a"]);
    next.say('52-["a"]', binary(1));
    next.socket.say("c1012,restart");
    next.page.advance(60);
    next.page.advance(3000);
    next.page.socket.accept();
    next.page.socket.say(opened({ sid: "s2", key: "key-of-s2" }), 'm0{"sid":"again"}');
    next.page.socket.say("p1");
    next.page.advance(29000);
    assert.equal(next.session.readyState, 1);
    next.page.socket.say('m2["a"]'); // the rest of the event before is nobody's
    assert.equal(next.told.at(-1), "a");
  });

  test(`${which}: what has not arrived of an event with bytes is told whole`, () => {
    const { session, chat, socket } = start(code);
    chat.emit("first", new Uint8Array([1]), new Uint8Array([2]));
    chat.emit("second");
    socket.say("a3,3"); // a CONNECT, and two of three
    socket.say("x1011,session,3,lost");
    const { unacknowledged } = session.log.find(({ type }) => type === "close");
    assert.deepEqual([...unacknowledged].map((one) => one.byteLength || one.slice(0, 4)), ["52-[", 1, 1, '2["s']);
  });

  test(`${which}: what can't be sent throws, and nothing of it goes`, async () => {
    const { chat, sent, session, page } = start(code, { options: { maxBuffered: 2000000 } });
    let deep = [];
    for (let i = 0; i < 64; i++) deep = [deep];
    const { TypeError } = page.window;
    const many = Array.from({ length: 65 }, () => binary(1)), large = Array.from({ length: 5 }, () => new Uint8Array(1048570));
    for (const args of [["connect"], [], [null], [1.5], ["a", deep], ["a", many], ["a", large], ["a", new Uint8Array(1048577)], ["a", new Uint8Array(1048570), new Uint8Array(1048570)]]) {
      assert.throws(() => chat.emit(...args), /Realtime: /, args[0]);
      await assert.rejects(chat.call(...args), /Realtime: /);
    }
    assert.throws(() => chat.of("admin"), /no packet/);
    assert.throws(() => chat.of("/a,b"), /no packet/);
    assert.throws(() => chat.of("/b", { auth: { x: binary(1) } }), /no packet/);
    assert.deepEqual(sent(), []);
    assert.equal(session.state, "open");
    // Kept for a namespace that does not come: bounded.
    const away = chat.of("/away");
    assert.throws(() => {
      for (let i = 0; i < 20; i++) away.emit("a", new Uint8Array(200000));
    }, /maxBuffered/);
    const other = start(code).chat.of("/other");
    assert.throws(() => {
      for (let i = 0; i < 5000; i++) other.emit("a");
    }, /too many/);
  });

  test(`${which}: the end of the session, and the next`, async () => {
    const { page, chat, say, told, socket, session } = start(code, { options: { reopen: true } });
    const admin = chat.of("/admin");
    const lost = chat.call("lost"), kept = admin.call("kept");
    const answers = [];
    let resolve;
    chat.on("slow", () => new Promise((done) => (resolve = done)));
    say('27["slow"]');
    session.onclose = () => chat.emit("waits", "in onclose"); // before it is told to the events
    socket.say("c1012,restart");
    await assert.rejects(lost, { code: "closed" });
    kept.then((answer) => answers.push(answer));
    assert.deepEqual(told.at(-1), ["disconnect", "transport close"]);
    chat.emit("waits");
    page.advance(60);
    page.advance(3000);
    const next = page.socket;
    next.accept();
    next.say(opened({ sid: "s2", key: "key-of-s2" }), 'm0{"sid":"again"}', 'm0/admin,{"sid":"again"}');
    resolve("too late");
    await settled();
    const frames = next.sent.filter((one) => typeof one === "string" && one.startsWith("m"));
    assert.deepEqual(frames, ["m0", "m0/admin,", 'm2["waits","in onclose"]', 'm2["waits"]', 'm2/admin,1["kept"]']);
    next.say('m3/admin,1["yes"]');
    await settled();
    assert.deepEqual(answers, ["yes"]);
    next.say("c1000,done");
    assert.throws(() => chat.emit("a"), { code: "closed" });
    assert.throws(() => chat.of("/more"), { code: "closed" });
    await assert.rejects(admin.call("a"), { code: "closed", data: 1000 });
  });

  test(`${which}: where the page gives up in onclose no session follows, and nothing waits for one`, async () => {
    const { chat, socket, session } = start(code, { options: { reopen: true } });
    chat.timeout = Infinity;
    const waits = chat.of("/admin").call("waits");
    session.onclose = () => session.close();
    socket.say("x1011,session,,failed");
    await assert.rejects(waits, { code: "closed" });
    assert.throws(() => chat.emit("a"), { code: "closed" });
  });

  test(`${which}: a session that is over has no events`, () => {
    const page = new Browser(code);
    const session = page.connect("/chat", {});
    session.close();
    page.advance(1);
    for (let i = 0; i < 2; i++) assert.throws(() => page.window.events(session), { code: "closed", message: "closed" });
    assert.deepEqual([...session.unacknowledged], []);
  });
}
