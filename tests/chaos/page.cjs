"use strict";
/* A page without XMLHttpRequest, as far as our client for JavaScript needs one for the transports that only browsers run: script tags,
 * hidden frames that run the scripts of a document as it comes, and forms in them, over connections of its own.
 * page(url) -> { Realtime, close }: the class of the script that ships, in the page's world. */
const fs = require("fs");
const http = require("http");
const path = require("path");
const vm = require("vm");

const SCRIPT = new vm.Script(fs.readFileSync(path.join(__dirname, "../../client-js/dist/realtime.js"), "utf8"));
const BLOCK = /<script>([^]*?)<\/script>/g;

class Node {
  constructor(page) {
    this.page = page;
    this.children = [];
    this.style = {};
  }
  get firstChild() {
    return this.children[0];
  }
  get lastChild() {
    return this.children.at(-1);
  }
  appendChild(child) {
    child.parentNode = this;
    this.children.push(child);
    child.inserted?.();
    return child;
  }
  removeChild(child) {
    this.children.splice(this.children.indexOf(child), 1);
    child.parentNode = null;
    child.removed?.();
  }
  removed() {
    for (const child of this.children) child.removed();
  }
  /** What page.js writes: a frame, perhaps with a form behind it that is aimed at it. */
  set innerHTML(html) {
    const frame = this.appendChild(new Frame(this.page));
    if (html.includes("<form")) this.appendChild(new Form(this.page, frame, /name=callback value=(\w+)/.exec(html)[1]));
  }
}

class Anchor {
  constructor(page) {
    this.page = page;
  }
  get href() {
    return this.address;
  }
  set href(text) {
    this.address = new URL(text, this.page.location.href).href;
  }
}

class Tag extends Node {
  inserted() {
    this.page.get(this.src, { end: (text, status) => {
      if (status !== 200) return this.onerror?.();
      this.page.run(text, this.page.window);
      this.onload?.();
    } });
  }
}

/** A hidden frame: its scripts run as they come. */
class Frame extends Node {
  get src() {
    return this.address;
  }
  set src(address) {
    this.removed();
    this.address = address;
    if (address !== "about:blank") this.show((on) => this.page.get(address, on));
  }
  removed() {
    this.asking?.destroy();
    this.asking = null;
  }
  show(ask) {
    const world = vm.createContext({ parent: this.page.window });
    let seen = 0;
    const run = (text) => {
      BLOCK.lastIndex = seen;
      for (let found; (found = BLOCK.exec(text)); seen = BLOCK.lastIndex) this.page.run(found[1], world);
    };
    this.asking = ask({ more: run, end: () => this.onload?.() });
  }
}

class Form extends Node {
  constructor(page, frame, callback) {
    super(page);
    this.frame = frame;
    this.callback = callback;
    this.appendChild(new Node(page));
  }
  submit() {
    const body = new URLSearchParams({ batch: this.firstChild.value, callback: this.callback }).toString();
    this.frame.show((on) => this.page.ask(this.action, on, body));
  }
}

class Page {
  constructor(url) {
    this.agent = new http.Agent({ keepAlive: true, maxSockets: 6 });
    this.location = new URL(url);
    this.timers = new Set();
    const listeners = new Set();
    const document = new Node(this);
    Object.assign(document, {
      hidden: false,
      body: new Node(this),
      documentElement: new Node(this),
      createElement: (name) => new ({ a: Anchor, script: Tag }[name] || Node)(this),
    });
    this.window = {
      document,
      location: this.location,
      console,
      setTimeout: (call, wait) => {
        const timer = setTimeout(() => {
          this.timers.delete(timer);
          call();
        }, wait);
        this.timers.add(timer);
        return timer;
      },
      clearTimeout: (timer) => {
        this.timers.delete(timer);
        clearTimeout(timer);
      },
      addEventListener: (type, listener) => listeners.add(listener),
      removeEventListener: (type, listener) => listeners.delete(listener),
      crypto: globalThis.crypto || require("crypto").webcrypto,
    };
    this.window.window = this.window.self = this.window;
    vm.createContext(this.window);
    SCRIPT.runInContext(this.window);
  }
  /** What throws there is a fault of ours, and not of the page's. */
  run(code, world) {
    if (!this.over) vm.runInContext(code, world);
  }
  get(address, on) {
    return this.ask(address, on);
  }
  /** Asks: on.more(text) as it grows, on.end(text, status), 0 where nothing whole came. */
  ask(address, on, body) {
    const headers = { Referer: this.location.href };
    if (body) headers["Content-Type"] = "application/x-www-form-urlencoded";
    let text = "", over = false;
    const end = (status) => {
      if (!over) {
        over = true;
        if (!this.over) on.end(text, status);
      }
    };
    const asking = http.request(address, { agent: this.agent, method: body ? "POST" : "GET", headers }, (answer) => {
      answer.setEncoding("utf8");
      answer.on("data", (data) => {
        text += data;
        if (!over) on.more?.(text);
      });
      answer.on("end", () => end(answer.complete ? answer.statusCode : 0));
      answer.on("error", () => end(0));
      answer.on("close", () => end(0));
    });
    asking.on("error", () => end(0));
    asking.end(body);
    return { destroy: () => {
      over = true;
      asking.destroy();
    } };
  }
  close() {
    this.over = true;
    for (const timer of this.timers) clearTimeout(timer);
    this.agent.destroy();
  }
}

module.exports = function page(url) {
  const made = new Page(url);
  return { Realtime: made.window.Realtime, close: () => made.close() };
};
