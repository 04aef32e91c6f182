// What can't be run for real, against mocks: XDomainRequest, ActiveX htmlfile, documents of another origin, and browsers
// without storage, random numbers or typed arrays.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { DIST } from "../build.js";
import { Browser, opened, tickets } from "./browser.js";

const code = readFileSync(join(DIST, "realtime.js"), "utf8");
const OTHER = "http://other.example/chat";
const TYPED = ["ArrayBuffer", "Uint8Array", "DataView", "Blob", "atob", "btoa", "MessageEvent", "CloseEvent", "Event"]; // they came together

function messages(session) {
  return session.log.filter((event) => event.type === "message").map((event) => event.data);
}

/** Internet Explorer 8 or 9: XMLHttpRequest for the own origin alone, XDomainRequest for the others. */
function explorer(options = {}) {
  const page = new Browser(code, { without: ["WebSocket", "EventSource", "crypto", ...TYPED], ...options });
  const { XMLHttpRequest: Own } = page.window;
  page.window.XMLHttpRequest = function () {
    const own = new Own();
    delete own.withCredentials;
    return own;
  };
  page.foreign = [];
  /** No status, no headers, no readyState: and its text may throw before the end. */
  page.window.XDomainRequest = class {
    responseText = "";
    open(method, url) {
      Object.assign(this, { method, url });
    }
    send(body) {
      this.body = body;
      page.foreign.push(this);
    }
    abort() {
      this.done = true;
    }
    grow(text) {
      this.responseText += text;
      this.onprogress?.();
    }
    load(text = "") {
      this.done = true;
      this.responseText += text;
      this.onload();
    }
    fail() {
      this.done = true;
      this.onerror();
    }
  };
  return page;
}

/** The newest XDomainRequest to a path that has no answer. */
function foreign(page, path) {
  const found = page.foreign.filter((one) => !one.done && one.url.endsWith(path)).pop();
  assert.ok(found, `no XDomainRequest to ${path}`);
  return found;
}

test("XDomainRequest polls another origin", () => {
  const page = explorer();
  const session = page.connect(OTHER, { transports: ["long_polling"] });
  assert.equal(page.requests.length, 0);
  const open = foreign(page, "/v1/long_polling");
  assert.equal(open.method, "POST");
  assert.equal(open.url, `${OTHER}/v1/long_polling`);
  open.load(JSON.stringify([opened({ transport: "long_polling" })]));
  page.advance(0);
  foreign(page, "/v1/long_polling").load('["r0,0","mhello"]');
  page.advance(0);
  assert.deepEqual(messages(session), ["hello"]);
  session.send("up");
  const send = foreign(page, "/v1/send");
  assert.match(JSON.parse(send.body)[0], /^us1,/);
  assert.equal(JSON.parse(send.body)[1], "mup");
  send.load('["a1,1"]');
  assert.deepEqual([...session.unacknowledged], []);
  foreign(page, "/v1/long_polling").fail();
  page.advance(5000);
  foreign(page, "/v1/long_polling").load('["r1,1","magain"]');
  assert.deepEqual(messages(session), ["hello", "again"]);
  session.close();
  page.advance(0);
  foreign(page, "/v1/send").load('["x1000,session,2,"]');
  assert.equal(session.readyState, 3);
  assert.equal(page.timers.size, 0);
});

test("XDomainRequest streams from another origin", () => {
  const page = explorer();
  const session = page.connect(OTHER, { transports: ["xhr_streaming", "long_polling"], upgrade: false });
  foreign(page, "/v1/long_polling").load(JSON.stringify([opened({ transport: "long_polling" })]));
  page.advance(0);
  const stream = foreign(page, "/v1/xhr_streaming");
  stream.grow(" ".repeat(2048) + '\n["r0,0","mone"]\n["mt');
  assert.deepEqual(messages(session), ["one"]);
  stream.grow('wo"]\n');
  assert.deepEqual(messages(session), ["one", "two"]);
  stream.grow('["mthree"]\n["erecycled"]\n');
  stream.load();
  page.advance(0);
  assert.match(JSON.parse(foreign(page, "/v1/xhr_streaming").body)[0], /^rs1,\d+,3,3,1,key-of-s1$/);
});

test("XDomainRequest of Internet Explorer 8 may refuse to be read before its end", () => {
  const page = explorer();
  const session = page.connect(OTHER, { transports: ["xhr_streaming", "long_polling"], upgrade: false });
  foreign(page, "/v1/long_polling").load(JSON.stringify([opened({ transport: "long_polling" })]));
  page.advance(0);
  const stream = foreign(page, "/v1/xhr_streaming");
  let readable = false;
  let text = "";
  Object.defineProperty(stream, "responseText", {
    get() {
      if (!readable) throw new Error("unspecified error");
      return text;
    },
    set(more) {
      text = more;
    }
  });
  assert.doesNotThrow(() => stream.onprogress());
  readable = true;
  stream.grow(' \n["r0,0","mone"]\n');
  assert.deepEqual(messages(session), ["one"]);
});

test("what XDomainRequest brings that is no batch is nothing", () => {
  const page = explorer();
  const session = page.connect(OTHER, { transports: ["long_polling"] });
  foreign(page, "/v1/long_polling").load("<html>log in first</html>");
  page.advance(1000);
  assert.equal(session.readyState, 0);
  foreign(page, "/v1/long_polling").load(JSON.stringify([opened()]));
  page.advance(0);
  assert.equal(session.readyState, 1);
});

test("a browser with neither CORS nor XDomainRequest has scripts and frames for other origins", () => {
  const page = explorer();
  delete page.window.XDomainRequest;
  const session = page.connect(OTHER);
  page.advance(0);
  assert.match(page.script.src, /^http:\/\/other\.example\/chat\/v1\/jsonp\?frame=o/);
  page.script.answer([opened({ transport: "jsonp" }), tickets(2)]);
  page.advance(0);
  assert.equal(session.readyState, 1);
  const out = Object.fromEntries(session.negotiation.map((one) => [one.name, one.verdict]));
  assert.equal(out.long_polling, "refused");
  assert.notEqual(out.jsonp, "refused");
});

/** Internet Explorer's htmlfile: a document in no window. */
function withActiveX(page) {
  page.documents = [];
  const Document = page.window.document.constructor;
  page.window.ActiveXObject = function (name) {
    assert.equal(name, "htmlfile");
    const own = new Document(page, page.window.document.href);
    const steps = [];
    Object.assign(own, {
      steps,
      parentWindow: {},
      open: () => steps.push("open"),
      write: (html) => steps.push(html),
      close: () => steps.push("close")
    });
    page.documents.push(own);
    return own;
  };
}

test("ActiveX htmlfile: the frame is in a document of its own, which finds the call-back in its window", () => {
  const page = explorer();
  withActiveX(page);
  const session = page.connect("/chat", { transports: ["htmlfile", "long_polling"], upgrade: false });
  page.request("/v1/long_polling").answer(200, [opened({ transport: "long_polling" }), tickets(2)]);
  page.advance(0);
  const [own] = page.documents;
  assert.deepEqual([own.steps[0], own.steps.at(-1)], ["open", "close"]);
  const frame = page.frames.at(-1);
  assert.equal(frame.ownerDocument, own);
  assert.equal(page.window.document.body.children.length, 0, "nothing in the page itself, so it does not spin");
  const name = new URL(frame.src).searchParams.get("callback");
  assert.match(frame.src, /\/v1\/htmlfile\?frame=rs1/);
  own.parentWindow[name]('["r0,0","mhello"]');
  own.parentWindow[name]('["mworld"]');
  assert.deepEqual(messages(session), ["hello", "world"]);
  own.parentWindow[name]('["erecycled"]');
  page.advance(0);
  assert.equal(page.documents.length, 2, "the next one has a document of its own again");
  session.close();
  page.advance(0);
  page.request("/v1/send").answer(200, ["x1000,session,1,"]);
  page.advance(120000);
  assert.deepEqual(page.leftovers.filter((name) => !["Realtime", "XDomainRequest", "ActiveXObject"].includes(name)), []);
});

test("ActiveX is not for other origins: their frame is in the page, and posts messages", () => {
  const page = explorer();
  withActiveX(page);
  const session = page.connect(OTHER, { transports: ["htmlfile", "long_polling"], upgrade: false });
  foreign(page, "/v1/long_polling").load(JSON.stringify([opened({ transport: "long_polling" }), tickets(2)]));
  page.advance(0);
  assert.equal(page.documents.length, 0);
  const frame = page.frames.at(-1);
  const name = new URL(frame.src).searchParams.get("callback");
  const source = (frame.contentWindow ||= {});
  page.dispatch("message", { data: `${name}["r0,0","mhello"]`, origin: "http://other.example", source });
  page.dispatch("message", { data: "somebody else's", origin: "http://else.example", source: {} });
  page.dispatch("message", { data: { an: "object" }, origin: "http://else.example", source: {} });
  assert.deepEqual(messages(session), ["hello"]);
  foreign(page, "/v1/send").load('["a0,0"]'); // what the stream was judged by
  session.send("up");
  page.advance(0);
  // Forms, too, answer from the other origin.
  const send = page.pending("/v1/send").pop();
  const form = send?.callback;
  assert.ok(form, "a form goes up");
  assert.match(send.sent[0], /^us1,/);
  page.dispatch("message", { data: `${form}["a1,1"]`, origin: "http://other.example", source: {} });
  assert.deepEqual([...session.unacknowledged], []);
});

test("jsonp: another origin's scripts and forms", () => {
  const page = explorer();
  const session = page.connect(OTHER, { transports: ["jsonp"] });
  page.script.answer([opened({ transport: "jsonp" }), tickets(2)]);
  page.advance(0);
  session.send("up");
  page.script.answer(["r0,0", "mhello"]);
  page.advance(0);
  const send = page.pending("/v1/send").pop();
  page.dispatch("message", { data: `${send.callback}["a1,1"]`, origin: "http://other.example", source: {} });
  assert.deepEqual(messages(session), ["hello"]);
  assert.deepEqual([...session.unacknowledged], []);
});

test("attachEvent stands in for addEventListener", () => {
  const page = explorer();
  const attached = new Set();
  delete page.window.addEventListener;
  delete page.window.removeEventListener;
  page.window.attachEvent = (type, listener) => attached.add(listener) && assert.equal(type, "onmessage");
  page.window.detachEvent = (type, listener) => attached.delete(listener);
  const session = page.connect(OTHER, { transports: ["jsonp"] });
  assert.equal(attached.size, 1);
  const name = new URL(page.script.src).searchParams.get("callback");
  for (const listener of attached) listener({ data: name + JSON.stringify([opened({ transport: "jsonp" })]) });
  page.advance(0);
  assert.equal(session.readyState, 1);
});

for (const [what, spoil] of Object.entries({
  "no localStorage": (window) => delete window.localStorage,
  "a localStorage that throws at every use": (window) => {
    const refuse = () => {
      throw new Error("SecurityError");
    };
    window.localStorage = { getItem: refuse, setItem: refuse, removeItem: refuse };
  },
  "a localStorage that throws when it is looked at": (window) =>
    Object.defineProperty(window, "localStorage", {
      get() {
        throw new Error("SecurityError");
      }
    }),
  "a localStorage with somebody else's words": (window) => window.localStorage.setItem("realtime:http://app.example", "{oops"),
  "a localStorage with something else": (window) => window.localStorage.setItem("realtime:http://app.example", '[1,"x"]')
})) {
  test(`${what}: failures are remembered for the page, and nobody notices`, () => {
    const page = new Browser(code);
    spoil(page.window);
    const session = page.connect("/chat", { transports: ["websocket", "long_polling"], upgrade: false });
    page.socket.end();
    page.advance(0);
    page.request("/v1/long_polling").answer(200, [opened({ transport: "long_polling" })]);
    page.advance(0);
    assert.equal(session.readyState, 1);
    assert.equal(session.transport, "long_polling");
  });
}

test("without crypto the nonce is still 26 characters, and another each time", () => {
  const nonces = new Set();
  for (let i = 0; i < 20; i++) {
    const page = new Browser(code, { without: ["crypto", ...TYPED] });
    page.connect("/chat", { transports: ["long_polling"] });
    const { nonce } = JSON.parse(page.request("/v1/long_polling").sent[0].slice(1));
    assert.match(nonce, /^[\w-]{26}$/);
    nonces.add(nonce);
  }
  assert.equal(nonces.size, 20);
});

test("without typed arrays binary messages arrive as arrays of numbers, and text is text", () => {
  const page = new Browser(code, { without: ["crypto", ...TYPED] });
  const session = page.connect("/chat", { transports: ["long_polling"] });
  assert.equal(session.binaryType, "arraybuffer");
  page.request("/v1/long_polling").answer(200, [opened({ transport: "long_polling" })]);
  page.advance(0);
  page.request("/v1/long_polling").answer(200, ["r0,0", "mtext", "bAAH/"]);
  const [text, bytes] = messages(session);
  assert.equal(text, "text");
  assert.deepEqual([...bytes], [0, 1, 255]);
  session.send("ok");
  session.send([1, 2]); // as a WebSocket would: its words
  assert.deepEqual(page.request("/v1/send").sent.slice(1), ["mok"]);
  page.request("/v1/send").answer(200, ["a1,1"]);
  page.advance(0);
  assert.deepEqual(page.request("/v1/send").sent.slice(1), ["m1,2"]);
});
