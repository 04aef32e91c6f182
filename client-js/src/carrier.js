/** One live connection, stream or poll, as its transport sees it: what it may ask, and whom it tells what comes. */
import { parseBatch } from "./frames.js";
import { batch, POLL, PROBE, told } from "./machine.js";
import { OPEN_TIMEOUT } from "./supervision.js";

/** The address of a transport, or of "send". The endpoint's query, which is the application's, stays. */
export function endpoint(s, name) {
  return s._url.replace(/\/?(\?|$)/, "/v1/" + name + "$1");
}

/** The address with one parameter more. */
export function query(url, name, value) {
  return url + (/\?/.test(url) ? "&" : "?") + name + "=" + encodeURIComponent(value);
}

/** The address of a GET whose first frame rides in the URL. Throws where that must not be: URLs are logged. */
export function address(carrier, url, first) {
  if (carrier.secret) throw Error("no auth or cursors in a URL");
  return query(url, "frame", first);
}

/**
 * A transport is an object of these members:
 *
 *   name             what the protocol calls it
 *   kind             DUPLEX, STREAM, HELD or POLL (machine.js)
 *   byUrl            true where its first frame stands in the URL
 *   usable(cross, requests)   whether this engine can run it, to another origin if `cross`; `requests`: options.requests
 *   open(carrier, url, first)   starts it with its first frame. Returns {stop}, duplex ones {write, waiting, stop} too
 *   post(asker, url, frames)    how frames go up beside it; see http.js
 *
 * `s` is the session, which hears _receives(s, carrier, frames), _ends(s, carrier, how) and _turns(s).
 */
export function Carrier(s) {
  this._session = s;
  this._named = s._tenure; // that its request names
  // _over, _attached; _gen; _last: the reason of its `e`
  this._up = this._down = 1; // the cursors: the number of the next message up, and down
  this._heard = s._at(); // when it spoke last
  this.options = s._options; // the application's, and `cross`
  // secret: its first frame must not stand in a URL (auth data, cursors), or never does; binary: it takes ArrayBuffers
}

Carrier.prototype = {
  /** A duplex one can be written on. */
  ready: function () {
    this._ready = true;
    this._session._turns(this._session);
  },

  /** Frames have come. */
  frames: function (frames) {
    this._session._receives(this._session, this, frames);
  },

  /** A batch has come, as text. `where` is for the reason if it is none: what it stood in. */
  batch: function (text, where) {
    var frames;
    try {
      frames = parseBatch(text);
    } catch (error) {
      this.end((where || "the answer") + " is no batch");
      return;
    }
    this.frames(frames);
  },

  /** A part of an answer has come that says nothing yet. */
  alive: function () {
    this._heard = this._session._at();
    this._session._alive(this);
  },

  /** It has ended; `how` in words, or "" for a poll that was answered whole. */
  end: function (how) {
    this._session._ends(this._session, this, how);
  },

  /** What a poll brings up behind its first frame: everything beside a plain one, the first messages with an open. */
  messages: function () {
    var s = this._session, frames = [];
    if (this._role === PROBE) return frames;
    if (!s._batch && (this._kind === POLL || this._opens)) frames = batch(s, this._up);
    this._brings = frames.length;
    return told(s, this).concat(frames);
  }
};

/** Lets go of a carrier, whatever it might still bring. */
export function stop(carrier) {
  try {
    carrier._over = true;
    // What went up with an open that nobody has answered may have been taken; with one that was refused nothing was.
    if (carrier._opens && carrier._brings && !carrier._refusal) carrier._session._risks = true;
    clearTimeout(carrier._timer); // of say()
    carrier._link.stop();
  } catch (error) {
    // There is none, or what the page has put in its place can't.
  }
}

/** Opening, if it still goes on, has all its time again. */
export function restart(s) {
  s._openBy = s._at() + OPEN_TIMEOUT;
  s._turns(s);
}
