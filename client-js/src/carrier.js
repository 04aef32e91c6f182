/** One live connection, stream or poll, as its transport sees it: what it may ask, and whom it tells what comes. */
import { parseBatch } from "./frames.js";
import { clock } from "./time.js";

/** The address with one parameter more. */
export function query(url, name, value) {
  return url + (url.indexOf("?") < 0 ? "?" : "&") + name + "=" + encodeURIComponent(value);
}

/** The address of a GET whose first frame rides in the URL. Throws where that must not be: URLs are logged. */
export function address(carrier, url, first) {
  if (carrier.secret) throw new Error("auth data must not stand in a URL");
  return query(url, "frame", first);
}

/**
 * A transport is an object of these members:
 *
 *   name             what the protocol calls it
 *   kind             DUPLEX, STREAM, HELD or POLL (machine.js)
 *   byUrl           true where its first frame stands in the URL
 *   usable(cross)    whether this engine can run it, to another origin if `cross`
 *   open(carrier, url, first)   starts it with its first frame. Returns {stop}, duplex ones {write, waiting, stop} too
 *   post(asker, url, frames)    how frames go up beside it; see http.js
 */
export function Carrier(driver, transport) {
  this._driver = driver;
  this._transport = transport;
  this._attached = false;
  this._over = false;
  this._link = null; // what open() has returned
  this._gen = 0;
  this._up = this._down = 1; // the cursors: the number of the next message up, and down
  this._heard = clock(); // when it spoke last
  this._last = ""; // the reason of its `e`
  this.kind = transport.kind;
  this.cross = driver._cross;
  this.credentials = driver._options.credentials;
  this.secret = false; // its first frame has auth data, which must not stand in a URL
  this.binary = false; // it takes ArrayBuffers
}

Carrier.prototype = {
  /** A duplex one can be written on. */
  ready: function () {
    this._ready = true;
    this._driver._turn();
  },

  /** Frames have come. */
  frames: function (frames) {
    if (!this._over) this._driver._receive(this, frames);
  },

  /** A batch has come, as text. `where` is for the reason if it is none. */
  batch: function (text, where) {
    var frames;
    try {
      frames = parseBatch(text);
    } catch (error) {
      this.end((where || "what came") + " is no batch");
      return;
    }
    this.frames(frames);
  },

  /** A part of an answer has come that says nothing yet. */
  alive: function () {
    this._heard = clock();
    if (this._of) this._driver._policy._alive(this._heard, this);
  },

  /** It has ended; `how` in words, or "" for a poll that was answered whole. */
  end: function (how) {
    this._driver._ended(this, how);
  },

  /** What a poll brings up behind its first frame. */
  messages: function () {
    return this._driver._messages(this);
  }
};
