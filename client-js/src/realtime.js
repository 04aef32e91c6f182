/**
 * The object that applications hold: a drop-in for the browser's WebSocket that keeps its session across networks,
 * transports and proxies. It tells the page's events to the driver, and the driver's to the page.
 */
import { drive } from "./driver.js";
import { scalars, utf8Length } from "./frames.js";
import { watch } from "./lifecycle.js";
import { doubled, jittered } from "./time.js";

var MAX_BUFFERED = 16777216;
var CONSTANTS = { CONNECTING: 0, OPEN: 1, CLOSING: 2, CLOSED: 3 };
// After these a new session may do better (options.reopen): the server went, or the session was forgotten.
var REOPENS = /^(100[16]|101[123]|44(04|08|1[01]))$/;

function refuse(why) {
  throw new Error("Realtime: " + why);
}

function rethrow(error) {
  setTimeout(function () {
    throw error;
  }, 0);
}

/** The address of an endpoint, absolute and of HTTP. Relative ones are the page's. */
function resolve(url) {
  var anchor;
  url = String(url).replace(/^ws/i, "http");
  if (!/^https?:\/\//i.test(url)) {
    if (typeof document === "undefined") url = new URL(url, location.href).href;
    else {
      anchor = document.createElement("a");
      anchor.href = url;
      url = anchor.href;
    }
  }
  return url.replace(/#.*/, "");
}

/** Makes the class whose `options.transports` may name the `known` transports, and has them all where it is missing. */
export function define(known) {
  function Realtime(url, options) {
    var names, transports = [], i, k;
    if (!(this instanceof Realtime)) throw new TypeError("Realtime: use new");
    if (typeof options === "string" || (options && options.push)) throw new TypeError("Realtime: there are no sub-protocols");
    this._options = options = options || {};
    this.url = resolve(url);
    names = options.transports || known;
    for (i = 0; i < names.length; i++) {
      for (k = 0; k < known.length && known[k].name !== names[i]; k++);
      transports[i] = names[i].open ? names[i] : known[k];
      if (!transports[i]) refuse("no transport " + names[i] + " here");
    }
    if (!transports.length) refuse("options.transports is empty");
    this._transports = transports;
    this._listeners = {};
    this._opens = 0; // attempts to open, since one has succeeded
    this.binaryType = typeof Blob === "undefined" ? "arraybuffer" : "blob";
    this._unwatch = watch(this);
    this._open();
  }
  Realtime.prototype = prototype;
  for (var name in CONSTANTS) Realtime[name] = prototype[name] = CONSTANTS[name];
  prototype.constructor = Realtime;
  return Realtime;
}

var prototype = {
  protocol: "",
  extensions: "",
  onopen: null,
  onmessage: null,
  onclose: null,
  onerror: null,
  ontransport: null,
  onstate: null,
  ondropped: null,

  /** Sends a text, an ArrayBuffer or a view of one. It is buffered until it can go, and goes exactly once. */
  send: function (data) {
    var buffer = (data && data.buffer) || data, size;
    var isBinary = {}.toString.call(buffer) === "[object ArrayBuffer]"; // of whatever frame's
    if (!isBinary) {
      if (typeof Blob !== "undefined" && data instanceof Blob) {
        throw new TypeError("Realtime: send a Blob's arrayBuffer()");
      }
      data = scalars(String(data));
    } else data = new Uint8Array(new Uint8Array(buffer, data.byteOffset || 0, data.byteLength)); // a copy, as it is now
    size = isBinary ? data.length : utf8Length(data);
    if (this.readyState < 2) {
      if (this.bufferedAmount + size > (this._options.maxBuffered || MAX_BUFFERED)) {
        refuse("above options.maxBuffered");
      }
      if (size > this._maxSize) {
        refuse("a message is at most " + this._maxSize + " bytes");
      }
    }
    this.unacknowledged.push(isBinary ? data.buffer : data);
    if (this.readyState < 2) this._driver._send(data, size);
  },

  /** Closes the session behind everything that was sent. */
  close: function (code, reason) {
    if (code === undefined) code = 1000;
    reason = reason === undefined ? "" : scalars(String(reason));
    if (utf8Length(reason) > 123) refuse("a reason is at most 123 bytes");
    if (code !== 1000 && !(code >= 3000 && code < 5000)) refuse("a close code is 1000 or 3000 to 4999");
    if (this.readyState < 2) this._driver._close(code, reason);
    else {
      // Nor is it opened again.
      clearTimeout(this._reopening);
      this._given = true;
      this._unwatch();
    }
  },

  addEventListener: function (type, listener, options) {
    var all = this._listeners[type] || [], i;
    for (i = 0; i < all.length; i++) if (all[i][0] === listener) return;
    this._listeners[type] = all.concat([[listener, options && options.once]]);
  },

  removeEventListener: function (type, listener) {
    var kept = [], all = this._listeners[type] || [], i;
    for (i = 0; i < all.length; i++) {
      if (all[i][0] !== listener) kept.push(all[i]);
      else all[i][0] = null; // nor is it called where the old list is being walked
    }
    this._listeners[type] = kept;
  },

  // -- from here on for the driver, and for ourselves -------------------------------------------------------------------

  _open: function () {
    this._driver = null;
    this.readyState = 0;
    this.state = "connecting";
    this.transport = "";
    this.bufferedAmount = 0;
    this._maxSize = Infinity; // until the server has said
    this.negotiation = [];
    this.unacknowledged = []; // what was sent and is not known to have been received, oldest first
    this._driver = drive(this, this.url, this._transports, this._options);
  },

  /** Tells the listeners. What they throw is the page's to report, and stops nobody else. */
  _tell: function (type, event) {
    var all = [[this["on" + type]]].concat(this._listeners[type] || []), i, listener;
    event = event || {};
    event.type = type;
    event.target = event.currentTarget = this;
    for (i = 0; i < all.length; i++) {
      listener = all[i][0];
      if (all[i][1]) this.removeEventListener(type, listener);
      try {
        if (typeof listener === "function") listener.call(this, event);
        else if (listener) listener.handleEvent(event);
      } catch (error) {
        rethrow(error);
      }
    }
  },

  _transportIs: function (name, reason) {
    this.transport = name;
    if (!this.readyState) {
      this._opens = 0;
      this.readyState = 1;
      this.state = "open";
      this._tell("open");
      this._tell("state", { state: "open" });
    }
    this._tell("transport", { transport: name, reason: reason });
  },

  _stateIs: function (state) {
    if (state === this.state || this.readyState > 2) return;
    this.state = state;
    this.readyState = state === "closing" ? 2 : 1; // open, detached and draining are one to a WebSocket
    this._tell("state", { state: state });
  },

  _message: function (data) {
    if (typeof data !== "string" && typeof ArrayBuffer !== "undefined") {
      if (data.push) data = new Uint8Array(data).buffer; // it came as base64
      if (this.binaryType === "blob") data = new Blob([data]);
    }
    this._tell("message", { data: data });
  },

  _closed: function (code, reason, wasClean, delay) {
    var self = this, opened = this.readyState > 0, wait;
    if (!this._driver) {
      // It failed at once. Whoever asked for it has had no time to listen yet.
      setTimeout(function () {
        self._closed(code, reason, wasClean, delay);
      }, 0);
      return;
    }
    var reopens = !!this._options.reopen && this.readyState < 2 && REOPENS.test(code);
    this.readyState = 3;
    this.state = "closed";
    this._reopening = null;
    if (!opened || !wasClean) this._tell("error");
    this._tell("close", {
      code: code,
      reason: reason,
      wasClean: wasClean,
      unacknowledged: this.unacknowledged,
      reopening: reopens
    });
    this._tell("state", { state: "closed" });
    if (reopens && this.readyState === 3 && !this._given) {
      wait = jittered(doubled(500, this._opens++, 30000)) + delay * 1000 * Math.random();
      this._reopening = setTimeout(function () {
        self._open();
        self._tell("state", { state: "connecting" });
      }, wait);
    } else this._unwatch();
  }
};
