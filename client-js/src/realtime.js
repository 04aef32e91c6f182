/**
 * The object that applications hold: a drop-in for the browser's WebSocket that keeps its session across networks,
 * transports and proxies. It tells the page's events to the driver, and the driver's to the page.
 */
import { authorise } from "./auth.js";
import { close, drive, send } from "./driver.js";
import { makeEvent } from "./events.js";
import { scalars, toJson, utf8Length } from "./frames.js";
import { watch } from "./lifecycle.js";
import { doubled, jittered } from "./time.js";
import { ignore, root } from "./root.js";

var CONSTANTS = ["CONNECTING", "OPEN", "CLOSING", "CLOSED"];
// After these a new session may do better (options.reopen): the server went, or the session was forgotten.
var REOPENS = /^(1001|101[123]|44(04|08|1[014]))$/;

function refuse(why) {
  throw TypeError("Realtime: " + why);
}

/** Throws the sentence on an option that is wrong. JSON tells a text from a number, and shows what is in an object. */
function wrong(name, takes, value) {
  refuse("options." + name + " takes " + takes + ", not " + ((value === value && toJson(value)) || value));
}

function warn(what) {
  if (root.console) console.warn("Realtime: " + what);
}

function rethrow(error) {
  setTimeout(function () {
    throw error;
  }, 0);
}

/** What kind of object `value` is, of whatever frame: "[object Blob]". */
function kindOf(value) {
  return {}.toString.call(value);
}

/** The address of an endpoint, absolute and of HTTP. Relative ones are the page's. */
function resolve(url) {
  var text = String(url).replace(/^\s*ws(?=s?:)/i, "http"), anchor;
  if (root.document) {
    anchor = document.createElement("a");
    anchor.href = text;
    text = anchor.href;
  } else if (root.location) text = new URL(text, location.href).href;
  if (url == null || !/^https?:\/\/[^\/?#]/i.test(text)) refuse("no endpoint: " + url);
  return text.replace(/#.*/, "");
}

/**
 * Makes the class whose `options.transports` may name the `known` transports, and has them all where it is missing; options.requests
 * and options.durable are `requests` and `durable` where they are missing.
 */
export function define(known, requests, durable) {
  var warned, usual = {
    transports: known,
    auth: undefined,
    reopen: false,
    upgrade: true,
    maxBuffered: 16777216,
    raceDelay: 250,
    attachTimeout: 5000,
    postTimeout: 10000,
    credentials: true,
    requests: requests,
    durable: durable,
    cursors: ignore
  };
  function Realtime(url, options) {
    var names, transports = [], i, k, kind, value;
    if (!(this instanceof Realtime)) refuse("use new");
    options = options || {};
    if (options.concat) {
      if (options.length && !warned) warn((warned = "no sub-protocols"));
      options = {};
    }
    this._options = {};
    for (k in options) if (!(k in usual)) warn("no option " + k);
    for (k in usual) {
      value = this._options[k] = options[k] === undefined ? usual[k] : options[k];
      kind = kindOf(usual[k]); // what is usual is of the kind that it takes; auth data are of any
      if (usual[k] !== undefined && (kindOf(value) !== kind || /^(-|NaN)/.test(value))) wrong(k, "a valid " + kind.slice(8, -1), value);
    }
    this.url = resolve(url);
    names = this._options.transports;
    i = 0;
    do {
      // The first of an empty list is undefined, which is none.
      for (k = known.length; k-- && known[k].name !== names[i]; );
      transports[i] = known[k] || names[i];
      if (!(transports[i] || 0).open) wrong("transports", "known or imported transports", names[i]);
    } while (++i < names.length);
    this._options.transports = transports;
    this._listeners = []; // [type, listener, once]
    this._events = []; // that are to be told, the first of them just now
    this._opens = 0; // attempts to open, since one has succeeded
    this.binaryType = root.Blob ? "blob" : "arraybuffer";
    this._options.cursors(this);
    this._prepare();
    this._unwatch = watch(this);
    this._connect();
  }
  Realtime.prototype = prototype;
  for (var i = 0; i < 4; i++) Realtime[CONSTANTS[i]] = prototype[CONSTANTS[i]] = i;
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
  cursors: undefined, // room → cursor, where options.cursors was given

  /** Sends a text, an ArrayBuffer or a view of one. It is buffered until it can go, and goes exactly once. */
  send: function (data) {
    this._put([data]);
  },

  /** Closes the session behind everything that was sent. */
  close: function (code, reason) {
    if (code === undefined) code = 1000;
    reason = reason === undefined ? "" : scalars(reason);
    if (!/^(1000|[34]\d\d\d)$/.test(code) || utf8Length(reason) > 123) {
      refuse("code 1000, 3000-4999, reason 0-123 bytes");
    }
    if (this.readyState < 2) close(this._session, code, reason);
    else if (this._reopening) {
      // It is not opened again.
      this._reopening = clearTimeout(this._reopening);
      this._unwatch("remove");
    }
  },

  addEventListener: function (type, listener, options) {
    var self = this, all = this._listeners, signal = options && options.signal, one = [type, listener, options && options.once], i;
    for (i = 0; i < all.length; i++) if (all[i][0] === type && all[i][1] === listener) return;
    if (signal) {
      if (signal.aborted) return;
      signal.addEventListener("abort", function () {
        if (one[1]) self.removeEventListener(type, listener); // it was not removed and added again
      });
    }
    all.push(one);
  },

  removeEventListener: function (type, listener) {
    var all = this._listeners, i;
    for (i = all.length; i--; ) {
      // Nor is it called where a copy of the list is being walked. A namespace of events takes all away.
      if (all[i][0] === type && (all[i][1] === listener || (this.of && !listener))) all.splice(i, 1)[0][1] = null;
    }
  },

  /** Tells the listeners. */
  dispatchEvent: function (event) {
    var self = this;
    this._run(
      event.type,
      function (listener) {
        if (typeof listener === "function") listener.call(self, event);
        else listener.handleEvent(event);
      },
      this["on" + event.type]
    );
    return !event.defaultPrevented;
  },

  // -- from here on for the driver, for events, and for ourselves ------------------------------------------------------

  /** Runs the listeners, the `first` in front. What they throw is the page's to report, and stops nobody else. */
  _run: function (type, run, first) {
    var all = [[type, first]].concat(this._listeners), i, listener;
    for (i = 0; i < all.length; i++) {
      listener = all[i][0] === type && all[i][1];
      try {
        if (listener) {
          if (all[i][2]) prototype.removeEventListener.call(this, type, listener);
          run(listener);
        }
      } catch (error) {
        rethrow(error);
      }
    }
  },

  /** A copy of what is binary, as it is now: of an ArrayBuffer, also a shared one, or a view. Nothing of anything else. */
  _bytes: function (data) {
    var buffer = data && data.byteLength >= 0 && (data.buffer || data);
    if (/ArrayBuffer]/.test(kindOf(buffer))) return new Uint8Array(new Uint8Array(buffer, data.byteOffset || 0, data.byteLength));
  },

  /**
   * Sends messages of which each belongs to the one before, or none of them. Beside others that are `waiting`, so many bytes, they
   * wait, too, and only have to be fit to be sent; returned is how many bytes they are.
   */
  _put: function (messages, waiting) {
    var takes = this.readyState < 2 || this._reopening, items = [], total = 0, i, data, bytes, size;
    for (i = 0; i < messages.length; i++) {
      bytes = this._bytes((data = messages[i]));
      if (/(Blob|File)]/.test(kindOf(data))) refuse("send a Blob's arrayBuffer()");
      messages[i] = data = bytes ? bytes.buffer : scalars(data);
      size = bytes ? bytes.length : utf8Length(data);
      total += size;
      if (takes && size > this._maxSize) refuse("above max_size");
      items[i] = { _size: size, _rest: i, _text: !bytes && "m" + data, _bytes: bytes };
    }
    if (takes && this.bufferedAmount + total + (waiting || 0) > this._options.maxBuffered) refuse("above maxBuffered");
    if (waiting) return total;
    for (i = 0; i < items.length; i++) {
      this.unacknowledged.push(messages[i]);
      if (takes) send(this._session, items[i]);
    }
    return 0;
  },

  /** The next session: what is sent from now on is for it. */
  _prepare: function () {
    this.bufferedAmount = 0;
    this._maxSize = Infinity; // until the server has said
    this.unacknowledged = []; // what was sent and is not known to have been received, oldest first
    this._session = drive(this);
  },

  _connect: function () {
    this.readyState = this._reopening = 0;
    this.state = "connecting";
    this.transport = "";
    this.negotiation = [];
    this._starts = true;
    authorise(this._session);
    this._starts = false;
  },

  /** One event after the other, whatever their listeners do. */
  _tell: function (type, fields) {
    var events = this._events;
    if (events.push(makeEvent(type, fields || {}, this)) > 1) return;
    for (; events.length; events.shift()) this.dispatchEvent(events[0]);
  },

  _tellState: function () {
    this._tell("state", { state: this.state });
  },

  _transportIs: function (name, reason) {
    this.transport = name;
    if (!this.readyState) {
      this._opens = 0;
      this.readyState = 1;
      this.state = "open";
      this._tell("open");
      if (this.state === "open") this._tellState();
    }
    this._tell("transport", { transport: name, reason: reason });
  },

  _stateIs: function (state) {
    if (state === this.state) return;
    this.state = state;
    this.readyState = state === "closing" ? 2 : 1; // open, detached and draining are one to a WebSocket
    this._tellState();
  },

  _message: function (data) {
    if (typeof data !== "string" && root.ArrayBuffer) {
      if (data.pop) data = new Uint8Array(data).buffer; // it came as base64
      if (this.binaryType === "blob") data = new Blob([data]);
    }
    this._tell("message", { data: data });
  },

  _closed: function (code, reason, wasClean, later) {
    var self = this, reopens = this.readyState < 2 && this._options.reopen && REOPENS.test(code);
    var unacknowledged = this.unacknowledged;
    if (this.readyState > 2) return;
    if (later || this._starts) {
      // It failed at once, or was closed before it was open. Whoever asked for it has had no time to listen yet.
      setTimeout(function () {
        self._closed(code, reason, wasClean);
      }, 0);
      return;
    }
    this.readyState = 3;
    this.state = "closed";
    this._reopening = reopens && setTimeout(function () {
      self._connect();
      self._tellState();
    }, jittered(doubled(500, this._opens++, 30000)) + this._session._delay * 1000 * Math.random());
    if (reopens) this._prepare();
    if (!wasClean) this._tell("error");
    this._tell("close", {
      code: code,
      reason: reason,
      wasClean: wasClean,
      unacknowledged: unacknowledged,
      reopening: !!this._reopening
    });
    this._tellState();
    if (!this._reopening) this._unwatch("remove");
  }
};
