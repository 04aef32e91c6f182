/**
 * A browser without a network, for tests: the script runs in a page of its own, in time that only the test moves, and
 * the test answers for the server.
 *
 *   const page = new Browser(code, { without: ["WebSocket"] });
 *   const session = page.connect("/chat", { transports: ["long_polling"] });
 *   page.request("/v1/long_polling").answer(200, [opened()]);
 *   page.advance(1000);
 */
import vm from "node:vm";
import { watch } from "./members.js";

/** The server's `o`, with every transport offered. */
export function opened(fields = {}) {
  return (
    "o" +
    JSON.stringify({
      sid: "s1",
      key: "key-of-s1",
      ack: [0, 0],
      window: [256, 1048576],
      max_size: 1048576,
      max_batch: [1024, 6356992],
      ping_interval: 20,
      ping_timeout: 20,
      resume_window: 120,
      poll_interval: [0.1, 5],
      transport: "websocket",
      transports: [],
      ...fields
    })
  );
}

/** The server's `k`: tickets from this gen on. */
export function tickets(gen, count = 16) {
  return `k${gen},` + Array.from({ length: count }, (_, i) => `ticket-${gen + i}`);
}

export class Browser {
  /** `code` is a script; `without` names what this browser has not. */
  constructor(code, { without = [], href = "http://app.example/page" } = {}) {
    this.now = 1e12;
    this.timers = new Map();
    this.requests = []; // of XMLHttpRequest and of forms, oldest first
    this.sockets = [];
    this.streams = [];
    this.scripts = [];
    this.frames = [];
    this.beacons = [];
    this.listeners = {};
    this.warnings = [];
    this.network = null; // network.js, where one answers instead of the test
    const window = (this.window = this.#globals(href));
    vm.createContext(window);
    for (const name of without) vm.runInContext(`delete globalThis.${name}`, window); // also what the language brings
    vm.runInContext("var window = this, self = this;", window);
    watch({ Object: vm.runInContext("Object", window) });
    window.Date = this.#date();
    this.before = Object.keys(window);
    this.run(code);
  }

  run(code) {
    return vm.runInContext(code, this.window);
  }

  connect(url, options) {
    const { window } = this;
    const session = new window.Realtime(url, options);
    session.log = [];
    for (const type of ["open", "message", "close", "error", "transport", "state", "dropped", "gap", "position"]) {
      session.addEventListener(type, (event) => session.log.push(event));
    }
    return session;
  }

  /** The newest request to a path that ends so and has no answer. */
  request(path) {
    return newest(this.requests, (one) => !one.done && new URL(one.url).pathname.endsWith(path), `request to ${path}`);
  }

  pending(path) {
    return this.requests.filter((one) => !one.done && new URL(one.url).pathname.endsWith(path));
  }

  get socket() {
    return newest(this.sockets, (one) => one.readyState < 2, "WebSocket");
  }

  get stream() {
    return newest(this.streams, (one) => one.readyState < 2, "EventSource");
  }

  get script() {
    return newest(this.scripts, (one) => one.parentNode, "script");
  }

  /** Lets milliseconds pass; timers fire in order. */
  advance(milliseconds) {
    const end = this.now + milliseconds;
    for (;;) {
      let id = 0, next = { at: Infinity };
      this.timers.forEach((timer, one) => {
        if (timer.at < next.at) (next = timer), (id = one);
      });
      if (next.at > end) break;
      this.now = Math.max(this.now, next.at);
      this.timers.delete(id);
      next.callback();
    }
    this.now = end;
  }

  /** An event of the window. */
  dispatch(type, event = {}) {
    for (const listener of this.listeners[type] || []) listener({ type, ...event });
  }

  /** An event of the document, which the window's listeners may catch on its way. */
  document(type) {
    for (const listener of [...(this.listeners[type] || []), ...(this.window.document.listeners[type] || [])]) listener({ type });
  }

  /** The machine sleeps: time has passed, no timer has fired, and then those that are due do. */
  sleep(milliseconds) {
    this.now += milliseconds;
    this.advance(0);
  }

  /** What the script has left in the global object. */
  get leftovers() {
    return Object.keys(this.window).filter((name) => !this.before.includes(name));
  }

  #date() {
    const browser = this;
    return class extends Date {
      constructor(...parts) {
        super(...(parts.length ? parts : [browser.now]));
      }
      static now() {
        return browser.now;
      }
    };
  }

  #globals(href) {
    const browser = this,
      { protocol, host, origin } = new URL(href),
      stored = new Map();
    let timers = 0;
    class XMLHttpRequest extends FakeRequest {
      open(method, url) {
        super.open(method, String(new URL(url, href)));
      }
      send(body) {
        super.send(body);
        browser.requests.push(this);
        this.link = browser.network?.request(this, "request");
      }
    }
    class WebSocket extends FakeSocket {
      constructor(url) {
        super(url);
        browser.sockets.push(this);
        this.link = browser.network?.socket(this);
      }
    }
    class EventSource extends FakeStream {
      constructor(url, options) {
        super(String(new URL(url, href)), options);
        browser.streams.push(this);
        this.link = browser.network?.request(this, "stream");
      }
    }
    return {
      ArrayBuffer,
      Uint8Array,
      DataView,
      Blob,
      URL,
      Promise,
      Event,
      MessageEvent,
      CloseEvent: class CloseEvent extends Event {}, // Node has one since 23
      AbortController,
      btoa,
      atob,
      console: { ...console, warn: (...what) => browser.warnings.push(what.join(" ")) },
      crypto: { getRandomValues: (array) => crypto.getRandomValues(array) },
      XMLHttpRequest,
      WebSocket,
      EventSource,
      location: { protocol, host, href, origin },
      document: new FakeDocument(this, href),
      navigator: { onLine: true, sendBeacon: (url, body) => browser.beacons.push({ url, body }) },
      localStorage: {
        getItem: (key) => stored.get(key) ?? null,
        setItem: (key, value) => stored.set(key, String(value)),
        removeItem: (key) => stored.delete(key)
      },
      setTimeout(callback, delay) {
        browser.timers.set(++timers, { at: browser.now + Math.max(Math.ceil(delay || 0), 0), callback });
        return timers;
      },
      clearTimeout: (id) => void browser.timers.delete(id),
      addEventListener: (type, listener) => (browser.listeners[type] ||= new Set()).add(listener),
      removeEventListener: (type, listener) => browser.listeners[type]?.delete(listener)
    };
  }
}

function newest(list, fits, what) {
  const found = list.filter(fits).pop();
  if (!found) throw new Error(`there is no ${what}`);
  return found;
}

/** XMLHttpRequest, with the test as its server. */
export class FakeRequest {
  readyState = 0;
  status = 0;
  responseText = "";
  withCredentials = false;
  headers = {};
  done = false;

  open(method, url) {
    this.method = method;
    this.url = url;
    this.readyState = 1;
  }
  setRequestHeader(name, value) {
    this.headers[name] = value;
  }
  send(body) {
    this.body = body;
  }
  abort() {
    this.done = this.aborted = true;
    this.link?.stopped();
  }
  /** The frames that went up. */
  get sent() {
    return JSON.parse(this.body);
  }
  /** Answers with a batch. */
  answer(status, frames) {
    this.grow(frames ? JSON.stringify(frames) : "", status);
    this.finish();
  }
  /** More of the body has come. */
  grow(text, status = 200) {
    this.status = status;
    this.readyState = 3;
    this.responseText += text;
    this.onreadystatechange?.();
  }
  /** The body is complete. */
  finish() {
    this.done = true;
    this.readyState = 4;
    this.onreadystatechange?.();
  }
  /** The connection was cut: most engines forget what they had. */
  cut() {
    this.status = 0;
    this.responseText = "";
    this.finish();
  }
}

class FakeSocket {
  readyState = 0;
  bufferedAmount = 0;
  binaryType = "blob";
  sent = [];

  constructor(url) {
    this.url = url;
  }
  send(data) {
    if (!this.readyState) throw new Error("InvalidStateError");
    this.sent.push(data);
    this.link?.sent(data);
  }
  close() {
    this.readyState = 2;
    this.link?.stopped();
  }
  accept() {
    this.readyState = 1;
    this.onopen?.({ type: "open" });
  }
  /** Frames from the server, one message each. */
  say(...frames) {
    for (const data of frames) this.onmessage?.({ type: "message", data });
  }
  end(code = 1006) {
    this.readyState = 3;
    this.onclose?.({ type: "close", code, reason: "", wasClean: code !== 1006 });
  }
}

class FakeStream {
  readyState = 0;

  constructor(url, options) {
    this.url = url;
    this.withCredentials = Boolean(options?.withCredentials);
  }
  close() {
    this.readyState = 2;
    this.link?.stopped();
  }
  say(frames) {
    this.readyState = 1;
    this.onmessage?.({ type: "message", data: JSON.stringify(frames) });
  }
  fail() {
    this.readyState = 0; // it would connect again
    this.onerror?.({ type: "error" });
  }
}

/** As much of a document as scripts, frames and forms need. */
class FakeDocument {
  constructor(browser, href) {
    this.browser = browser;
    this.href = href;
    this.head = new FakeElement(this, "head");
    this.body = new FakeElement(this, "body");
    this.documentElement = new FakeElement(this, "html");
    this.visibilityState = "visible";
    this.listeners = {};
  }
  createElement(tag) {
    return new FakeElement(this, tag);
  }
  getElementsByTagName(tag) {
    return [this[tag]];
  }
  addEventListener(type, listener) {
    (this.listeners[type] ||= new Set()).add(listener);
  }
  removeEventListener(type, listener) {
    this.listeners[type]?.delete(listener);
  }
}

class FakeElement {
  parentNode = null;
  children = [];
  style = {};

  constructor(document, tag) {
    this.ownerDocument = document;
    this.tagName = tag.toUpperCase();
  }
  /** An address is absolute when it is read, as a link's is. */
  set href(url) {
    this.address = String(new URL(url, this.ownerDocument.href));
  }
  get href() {
    return this.address;
  }
  get firstChild() {
    return this.children[0] || null;
  }
  get lastChild() {
    return this.children[this.children.length - 1] || null;
  }
  appendChild(child) {
    child.parentNode = this;
    this.children.push(child);
    const { browser } = this.ownerDocument;
    if (child.tagName === "SCRIPT") {
      browser.scripts.push(child);
      child.link = browser.network?.request(child, "script");
    }
    if (child.tagName === "IFRAME") browser.frames.push(child);
    return child;
  }
  /** An iframe's address, or a script's. */
  set src(url) {
    this.source = url;
    if (this.tagName !== "IFRAME") return;
    this.link?.stopped();
    this.link = /^about:/.test(url) ? null : this.ownerDocument.browser.network?.request(this, "frame");
  }
  get src() {
    return this.source;
  }
  removeChild(child) {
    child.link?.stopped();
    child.parentNode = null;
    this.children = this.children.filter((one) => one !== child);
    return child;
  }
  /** Just tags with attributes without quotes, closed or void. */
  set innerHTML(html) {
    let parent = this;
    for (const [, closes, tag, attributes] of html.matchAll(/<(\/?)(\w+)([^>]*)>/g)) {
      if (closes) parent = parent.parentNode;
      else {
        const element = new FakeElement(this.ownerDocument, tag);
        for (const [, name, value] of attributes.matchAll(/([\w-]+)=(\S*)/g)) element[name] = value;
        parent.appendChild(element);
        if (tag !== "input") parent = element;
      }
    }
  }
  /** A form: a request of its own, which calls back when it is answered. */
  submit() {
    const { browser, href } = this.ownerDocument;
    const fields = Object.fromEntries(this.children.map((input) => [input.name, input.value]));
    const request = new FakeRequest();
    request.open("POST", String(new URL(this.action, href)));
    request.send(fields.batch);
    request.callback = fields.callback;
    request.answer = (status, frames) => {
      request.done = true;
      browser.window[fields.callback](JSON.stringify(frames));
    };
    browser.requests.push(request);
    request.link = browser.network?.request(request, "form");
  }
  /** A script of the server runs, in a script tag or an iframe: it calls back. */
  say(frames) {
    const { browser } = this.ownerDocument;
    browser.window[new URL(this.src).searchParams.get("callback")](JSON.stringify(frames));
  }
  /** It has run, and has loaded. */
  answer(frames) {
    this.say(frames);
    this.onload?.();
  }
}
