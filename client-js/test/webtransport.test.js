// WebTransport: the bytes on its stream, from the vectors that the Python side reads too; and the transport as it is
// shipped, in a browser whose WebTransport the test plays, in virtual time.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { DIST } from "../build.js";
import { decoder, encode } from "../src/lengths.js";
import { Browser, opened } from "./browser.js";

const vectors = JSON.parse(readFileSync(new URL("../../tests/vectors/webtransport.json", import.meta.url), "utf8"));
const MOST = 10_000_000; // where a vector says none

const bytesOf = (base64) => new Uint8Array(Buffer.from(base64, "base64"));
const wordsOf = (frames) => frames.map((one) => (typeof one === "string" ? one : { base64: Buffer.from(one).toString("base64") }));

/** The frames in these pieces, or the code that reading them has thrown. */
function read(pieces, most) {
  const take = decoder(most);
  try {
    return wordsOf(pieces.flatMap((piece) => take(piece)));
  } catch (code) {
    return code;
  }
}

test("webtransport.json, whole, byte by byte and in other pieces", () => {
  let wrong = 0;
  for (const { name, base64, frames, error, max_bytes: most = MOST } of vectors) {
    const bytes = bytesOf(base64), cuts = [bytes.length || 1, 1, 3, 7, 1000];
    for (const size of cuts) {
      const pieces = Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) => bytes.slice(i * size, (i + 1) * size));
      assert.deepEqual(read(pieces, most), error || frames, `${name}, by ${size}`);
    }
    if (error) wrong++;
  }
  assert.ok(wrong > 5 && vectors.length > 20, "too few");
});

test("webtransport.json, written", () => {
  const written = vectors.filter((vector) => vector.canonical);
  for (const { name, base64, frames } of written) {
    const given = frames.map((one) => (typeof one === "string" ? one : bytesOf(one.base64).slice().buffer));
    assert.equal(Buffer.from(encode(given)).toString("base64"), base64, name);
  }
  assert.ok(written.length > 8, "too few");
});

// -- the transport ---------------------------------------------------------------------------------------------------

const code = ["realtime.js", "webtransport.js"].map((file) => readFileSync(join(DIST, file), "utf8")).join("\n");
const HASH = Buffer.alloc(32, 7).toString("base64");
const PLACE = { name: "webtransport", verdict: "offered", reason: "", port: 4433, hash: HASH };
const LIST = [PLACE, { name: "websocket", verdict: "offered", reason: "" }];
const OPENED = opened({ transport: "webtransport", transports: LIST });

/** Whatever waits for promises alone happens. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

/** A promise, and what settles it. */
function deferred() {
  const it = {};
  it.promise = new Promise((resolve, reject) => Object.assign(it, { resolve, reject }));
  it.promise.catch(() => {});
  return it;
}

/** The server's side of one. */
class Tunnel {
  constructor(url, options) {
    Object.assign(this, { url, options, sent: [], taken: true, finished: false, isClosed: false });
    this.stands = deferred();
    this.over = deferred();
    this.ready = this.stands.promise;
    this.closed = this.over.promise;
    this.chunks = [];
    this.reading = null;
    this.decode = decoder(MOST);
  }
  createBidirectionalStream() {
    const writer = {
      write: (bytes) => {
        assert.ok(!this.finished, "written behind the end");
        this.sent.push(...wordsOf(this.decode(bytes)));
        return this.taken ? Promise.resolve() : new Promise(() => {});
      },
      close: () => {
        this.finished = true;
        return Promise.resolve();
      }
    };
    const reader = {
      read: () => new Promise((resolve, reject) => {
        this.reading = { resolve, reject };
        this.#feed();
      })
    };
    return Promise.resolve({ writable: { getWriter: () => writer }, readable: { getReader: () => reader } });
  }
  close() {
    this.isClosed = true;
    this.stands.reject(new Error("closed"));
    this.over.resolve({});
  }
  #feed() {
    if (this.reading && this.chunks.length) {
      this.reading.resolve(this.chunks.shift());
      this.reading = null;
    }
  }
  async stand() {
    this.stands.resolve();
    await settled();
  }
  /** Bytes from the server. */
  async bring(bytes) {
    this.chunks.push({ value: bytes, done: false });
    this.#feed();
    await settled();
  }
  say(...frames) {
    return this.bring(encode(frames));
  }
  /** The server ends its side. */
  async end() {
    this.chunks.push({ value: undefined, done: true });
    this.#feed();
    await settled();
  }
  /** The connection is lost. */
  async lose(message = "Connection lost.") {
    this.reading.reject(new Error(message));
    this.over.reject(new Error(message));
    await settled();
  }
}

/** A page with the transport, whose server answers negotiate with this list. */
async function visit({ list = LIST, transports = ["websocket"], hashes, path = "/chat", page = pageOf(list) } = {}) {
  const own = page.window.RealtimeWebTransport(hashes && { serverCertificateHashes: hashes });
  const session = page.connect(path, { transports: [own, ...transports], raceDelay: 250 });
  await settled();
  return { page, session, tunnel: page.tunnels.at(-1) };
}

function pageOf(list, status = 200) {
  const page = new Browser(code);
  page.tunnels = [];
  page.asked = [];
  Object.assign(page.window, {
    TextEncoder,
    TextDecoder,
    WebTransport: class extends Tunnel {
      constructor(...given) {
        super(...given);
        page.tunnels.push(this);
      }
    },
    fetch: async (url, options) => {
      page.asked.push([url, options.credentials]);
      return { ok: status < 300, status, json: async () => ({ transports: list }) };
    }
  });
  return page;
}

const verdictOf = (session) => session.negotiation.find(({ name }) => name === "webtransport");

/** A session that is open over it. */
async function open(options) {
  const all = await visit(options);
  await all.tunnel.stand();
  await all.tunnel.say(OPENED);
  assert.equal(all.session.transport, "webtransport");
  return all;
}

test("before there is a session, negotiate is asked where it is, and the certificate is known by its hash", async () => {
  const { page, session, tunnel } = await visit({ path: "/chat?room=7" });
  assert.deepEqual(page.asked, [["http://app.example/chat/negotiate?room=7", "include"]]);
  assert.equal(tunnel.url, "https://app.example:4433/chat/v1/webtransport?room=7");
  const [{ algorithm, value }] = tunnel.options.serverCertificateHashes;
  assert.deepEqual([algorithm, Buffer.from(value).toString("base64")], ["sha-256", HASH]);
  await tunnel.stand();
  assert.match(tunnel.sent[0], /^o\{"transports":\["webtransport","websocket"\]/);
  await tunnel.say(OPENED);
  assert.deepEqual([session.transport, session.readyState, verdictOf(session).verdict], ["webtransport", 1, "taken"]);
});

test("another host, an address of IPv6, and no hash", async () => {
  const at = async (place) => (await visit({ list: [{ name: "webtransport", verdict: "offered", ...place }] })).tunnel;
  assert.equal((await at({ port: 443, host: "udp.example" })).url, "https://udp.example:443/chat/v1/webtransport");
  const other = await at({ port: 4433, host: "::1" });
  assert.equal(other.url, "https://[::1]:4433/chat/v1/webtransport");
  assert.deepEqual({ ...other.options }, {});
});

test("hashes of the page's own stand in for the server's", async () => {
  const own = [{ algorithm: "sha-256", value: new Uint8Array(32) }];
  const { tunnel } = await visit({ hashes: own });
  assert.equal(tunnel.options.serverCertificateHashes, own);
});

test("options that are wrong throw a sentence", async () => {
  const { page } = await visit();
  const { RealtimeWebTransport: make } = page.window;
  page.run("Object.prototype.somebodys = function () {}");
  for (const [options, said] of [
    [{ serverCertificateHash: [] }, '{"serverCertificateHash":[]}'],
    [{ serverCertificateHashes: { algorithm: "sha-256" } }, '{"serverCertificateHashes":{"algorithm":"sha-256"}}'],
    ["sha-256", '"sha-256"']
  ]) {
    const message = "Realtime: webtransport() takes serverCertificateHashes: Array, not " + said;
    assert.throws(() => make(options), { name: "TypeError", message });
  }
  for (const options of [undefined, null, {}, { serverCertificateHashes: undefined }, { serverCertificateHashes: [] }]) make(options);
});

test("messages go both ways, binary ones as they are, and what is not taken yet counts as buffered", async () => {
  const { session, tunnel } = await open();
  session.binaryType = "arraybuffer";
  tunnel.taken = false;
  session.send("h\u00e9");
  session.send(new Uint8Array([0, 1, 255]));
  await settled();
  assert.deepEqual(tunnel.sent.slice(-2), ["mh\u00e9", { base64: "AAH/" }]);
  assert.ok(session.bufferedAmount > 5);
  await tunnel.say("mone", new Uint8Array([9]).buffer);
  const [first, second] = session.log.filter(({ type }) => type === "message");
  assert.equal(first.data, "one");
  assert.deepEqual([...new Uint8Array(second.data)], [9]);
});

test("a close ends the stream behind what was written, and the session of WebTransport when the server has ended its side", async () => {
  const { session, tunnel } = await open();
  session.send("last");
  session.close(3000, "enough");
  await settled();
  assert.deepEqual(tunnel.sent.slice(-2), ["mlast", "c3000,enough"]);
  await tunnel.say("a2,2");
  assert.deepEqual([session.readyState, tunnel.finished, tunnel.isClosed], [3, true, false]);
  await tunnel.end();
  assert.equal(tunnel.isClosed, true);
});

test("close() while it connects opens nothing, with auth or without", async () => {
  for (const auth of [undefined, "secret"]) {
    for (const when of ["negotiate is asked", "the connection is made", "the stream is made"]) {
      const page = pageOf(LIST), own = page.window.RealtimeWebTransport();
      const session = page.connect("/chat", { transports: [own, "websocket"], auth });
      if (when !== "negotiate is asked") await settled();
      const [tunnel] = page.tunnels;
      if (when === "the stream is made") tunnel.stands.resolve(); // and nobody has been told yet
      session.close(3001, "never mind");
      page.advance(1);
      await settled();
      if (tunnel) {
        assert.deepEqual([tunnel.isClosed, tunnel.sent], [true, []], when);
        await tunnel.stand();
      }
      page.advance(60000);
      await settled();
      assert.deepEqual(session.log.map(({ type, state }) => state || type), ["closing", "close", "closed"]);
      assert.deepEqual([page.tunnels.length, page.sockets.length, page.timers.size], [tunnel ? 1 : 0, 0, 0], when);
      if (tunnel) assert.deepEqual(tunnel.sent, []);
    }
  }
});

test("close() behind what was said on its stream closes what the server opens meanwhile", async () => {
  const { page, session, tunnel } = await visit();
  await tunnel.stand();
  assert.equal(tunnel.sent.length, 1);
  session.close(3001, "never mind");
  page.advance(1);
  await settled();
  assert.equal(tunnel.isClosed, false);
  await tunnel.say(OPENED);
  assert.deepEqual(tunnel.sent.slice(1), ["c3001,never mind", "a0,0"]);
  await tunnel.say("a1,1");
  await tunnel.end();
  assert.equal(tunnel.isClosed, true);
});

test("a server that does not end its side is left after two seconds", async () => {
  const { page, session, tunnel } = await open();
  session.close();
  await tunnel.say("a1,1");
  page.advance(1999);
  assert.equal(tunnel.isClosed, false);
  page.advance(1);
  assert.equal(tunnel.isClosed, true);
});

test("a network that lets no UDP through costs a second and a half, once", async () => {
  const { page, session } = await visit();
  page.advance(1499);
  assert.equal(page.sockets.length, 0);
  page.advance(1);
  assert.equal(page.tunnels[0].isClosed, true);
  page.socket.accept();
  page.socket.say(opened({ transports: LIST }));
  assert.equal(session.transport, "websocket");
  assert.equal(verdictOf(session).verdict, "demoted");
  assert.match(verdictOf(session).reason, /no answer in 1\.5 s/);
  // The next session of this origin, of this page or another, does not wait.
  await visit({ page });
  assert.deepEqual([page.tunnels.length, page.sockets.length], [1, 2]);
});

test("where HTTP can open the session it does so beside it, and nothing is waited for", async () => {
  const { page, session } = await visit({ transports: ["websocket", "long_polling"] });
  page.advance(250);
  page.request("/v1/long_polling").answer(200, [opened({ transport: "long_polling", transports: LIST })]);
  assert.equal(session.readyState, 1);
});

test("where there is nothing else it has the time that any attempt has", async () => {
  const { page, tunnel } = await visit({ transports: [] });
  page.advance(4999);
  assert.equal(tunnel.isClosed, false);
  page.advance(1);
  assert.equal(tunnel.isClosed, true);
});

for (const [what, list] of [
  ["says no port", [{ name: "webtransport", verdict: "offered" }]],
  ["refuses it", [{ ...PLACE, verdict: "refused" }]],
  ["does not know it", []]
]) {
  test(`a server that ${what} is not asked again`, async () => {
    const { page, session } = await visit({ list });
    assert.deepEqual([page.tunnels.length, page.sockets.length], [0, 1]);
    page.socket.accept();
    page.socket.say(opened({ transports: [{ name: "webtransport", verdict: "refused", reason: "not here" }, LIST[1]] }));
    page.advance(600_000);
    await settled();
    assert.deepEqual([page.asked.length, page.tunnels.length], [1, 0]);
    assert.deepEqual([verdictOf(session).verdict, verdictOf(session).reason], ["refused", "this server offers no WebTransport"]);
  });
}

test("a negotiate that fails is a failure of it", async () => {
  const { page } = await visit({ page: pageOf([], 503) });
  assert.deepEqual([page.tunnels.length, page.sockets.length], [0, 1]);
});

test("a session that something else has opened moves up to it; after a failure it is asked where that is now", async () => {
  const { page, session, tunnel } = await visit();
  page.advance(1500);
  page.socket.accept();
  page.socket.say(opened({ transports: LIST }));
  assert.equal(session.transport, "websocket");
  for (let waited = 0; page.tunnels.length < 2 && waited < 20; waited++) {
    page.advance(1000);
    page.socket.say("p");
    await settled();
  }
  const probe = page.tunnels[1];
  assert.notEqual(probe, tunnel);
  assert.equal(page.asked.length, 2); // it may be elsewhere, or have another certificate
  await probe.stand();
  assert.deepEqual(probe.sent, ["p"]);
  await probe.say("q");
  assert.match(probe.sent[1], /^rs1,\d+,0,0,1,key-of-s1$/);
  await probe.say("r0,0");
  assert.equal(session.transport, "webtransport");
});

test("a session that has no other transport comes back by it, where it was told that it is", async () => {
  const { page, tunnel } = await open({ transports: [] });
  page.advance(10_000); // a good life: the end of it is no failure
  await tunnel.say("p");
  await tunnel.lose();
  page.advance(0);
  await settled();
  assert.deepEqual([page.asked.length, page.tunnels.length], [1, 2]);
  await page.tunnels[1].stand();
  assert.match(page.tunnels[1].sent[0], /^rs1,/);
});

test("after a cut the session goes on by the next transport, with what was not acknowledged", async () => {
  const { page, session, tunnel } = await open();
  session.send("again");
  await tunnel.lose();
  assert.equal(session.state, "detached");
  page.advance(1500);
  const socket = page.socket;
  socket.accept();
  assert.match(socket.sent[0], /^rs1,/);
  socket.say("r0,0");
  assert.ok(socket.sent.includes("magain"), String(socket.sent));
  assert.equal(session.transport, "websocket");
});

for (const [what, bytes, ends] of [
  ["text that is not UTF-8", [4, 0x6d, 0xff], 1007],
  ["a frame that is too large", [255, 255, 255, 255, 255, 255, 255, 255], 1009]
]) {
  test(`${what} ends the session with ${ends}, and the server is told`, async () => {
    const { session, tunnel } = await open();
    await tunnel.bring(new Uint8Array(bytes));
    const [close] = session.log.filter(({ type }) => type === "close");
    assert.equal(close.code, ends);
    assert.equal(tunnel.sent.at(-1), `x${ends},session,0,`);
    assert.equal(tunnel.finished, true);
  });
}

test("where the browser has none it is left out", async () => {
  const page = pageOf(LIST);
  delete page.window.WebTransport;
  const { session } = await visit({ page });
  assert.equal(page.sockets.length, 1);
  assert.deepEqual([...session.negotiation], []);
});
