/**
 * One end of a session: numbers, windows, replay, acks and closes (docs/protocol.md §4, §6, §8).
 *
 * Pure: it knows no page, no network and no clock. The driver (driver.js) hands it what carriers bring and asks what
 * may go up. The application takes each message as it comes, so "received" and "taken" are one number here.
 */
import { parse, toBase64, toJson } from "./frames.js";

/** What a carrier is: both ways at once, one long answer, a poll that is held, a poll that is answered at once. */
export var DUPLEX = 0;
export var STREAM = 1;
export var HELD = 2;
export var POLL = 3;

var WINDOW = [256, 1048576]; // what we take before we have acked it: messages, bytes
var INITIAL_WINDOW = [16, 65536]; // what any server takes before its `o` says more

/**
 * `driver` hears, synchronously: _opened(carrier, server), _attached(carrier), _refused(carrier, code, reason),
 * _drains(delay), _hasEnded(code, reason, clean, ackDue); `owner`: _message(data) and _tell(type, event), and
 * has the list `unacknowledged`.
 */
export function Machine(driver, owner, nonce) {
  this._driver = driver;
  this._owner = owner;
  this._nonce = nonce;
  this._sid = "";
  this._gen = 0;
  this._server = null; // what its `o` said
  this._tickets = []; // a gen, and what attaches in a URL show, from that gen on
  this._over = false;
  // Up. Everything the server has not taken, oldest first; what it has received has lost its payload, not its size.
  this._out = [];
  this._taken = 0; // the number before _out[0]
  this._acked = 0;
  this._last = 0; // the highest number that a carrier was given
  this._owed = 0; // bytes that the server is not known to have received,
  this._waits = 0; // and of these, those without a number
  this._window = INITIAL_WINDOW;
  this._held = false; // the server drains: nothing new gets a number
  this._going = false; // it waits for the answer to its go-away
  this._closing = null; // our close: [code, reason]
  // Down.
  this._received = 0;
  this._announced = 0;
  this._bytes = 0; // received since the last ack
  this._newsSince = 0; // when the oldest message not announced came
  this._confirm = false; // something is due that only a request can say: "I have your o", "here is my pong"
}

Machine.prototype = {
  /** Queues a message: a text of scalar values, or bytes. */
  _send: function (data, size) {
    this._owed += size;
    this._waits += size;
    this._out.push(typeof data === "string" ? { _size: size, _text: "m" + data } : { _size: size, _bytes: data });
  },

  /** Queues our close behind all that has a number; the rest goes before it, unless the server drains. */
  _close: function (code, reason) {
    var item = { _size: 0, _text: "c" + code + "," + reason, _isClose: true };
    this._closing = [code, reason];
    if (this._held) {
      this._out.length = this._last - this._taken;
      this._owed -= this._waits;
      this._waits = 0;
    }
    this._held = false;
    this._out.push(item);
  },

  /** The items from number `first` on that the window lets go, at most so many frames and bytes. They have numbers now. */
  _peek: function (first, frames, bytes) {
    var items = [], used = 0, size = 0, i, item;
    for (i = 0; i < this._out.length && items.length < frames; i++) {
      item = this._out[i];
      // What is larger than the window goes when everything before it has been taken, but for the initial window.
      if ((i || !this._sid) && !item._isClose && (i >= this._window[0] || used + item._size > this._window[1])) break;
      if (this._held && this._taken + i >= this._last) break;
      used += item._size;
      if (this._taken + i + 1 < first) continue;
      size += item._size;
      if (items.length && size > bytes) break;
      items.push(item);
      if (this._taken + i + 1 > this._last) {
        this._last++;
        this._waits -= item._size;
      }
    }
    return items;
  },

  _acks: function () {
    this._announced = this._received;
    this._bytes = 0;
    return this._received + "," + this._received;
  },

  /** When an ack is due by time; 0 for at once. `delay` in milliseconds. */
  _ackDue: function (delay) {
    var count = this._received - this._announced;
    if (!count) return Infinity;
    return count * 4 >= WINDOW[0] || this._bytes * 4 >= WINDOW[1] || this._closing ? 0 : this._newsSince + delay;
  },

  /** An ack in a request that was not answered is due again. */
  _unannounced: function () {
    this._announced = Math.max(0, Math.min(this._announced, this._received - 1));
    this._newsSince = 0;
  },

  /** What an attach shows: the key, or in a URL the ticket of its gen. Nothing if that is still to be asked for. */
  _proof: function (carrier) {
    return carrier._transport.byUrl ? this._tickets[carrier._gen - this._tickets[0] + 1] : this._server.key;
  },

  /** The first frame of a carrier that has its gen: an attach, or an open with these `fields`. Sets its cursors. */
  _hello: function (carrier, fields, auth) {
    carrier._up = this._acked + 1;
    carrier._down = this._received + 1;
    carrier._from = this._received;
    this._confirm = false; // an attach names the sid
    if (this._sid) return "r" + [this._sid, carrier._gen, this._acks(), carrier._up, this._proof(carrier)];
    fields.nonce = this._nonce;
    fields.gen = carrier._gen;
    fields.window = WINDOW;
    fields.auth = auth; // left out where it is undefined
    return "o" + toJson(fields);
  },

  /** What may be written on a duplex carrier now, as frames. */
  _flush: function (carrier, now) {
    var frames = [], first = Math.max(carrier._up, this._acked + 1), items = this._peek(first, 256, 1048576), i;
    if (this._ackDue(items.length ? 250 : 1000) <= now || (this._confirm && this._sid)) {
      this._confirm = false;
      frames.push("a" + this._acks());
    }
    if (items.length) {
      if (first !== carrier._up) frames.push("n" + first);
      for (i = 0; i < items.length; i++) frames.push(frameOf(items[i], carrier.binary));
      carrier._up = first + items.length;
    }
    return frames.concat(this._goingFrame(Math.max(carrier._up, first)));
  },

  /** The answer to a go-away, once everything that has a number was written: `next` is the first number that was not. */
  _goingFrame: function (next) {
    if (!this._going || next <= this._last) return [];
    this._going = false;
    return ["g" + this._last];
  },

  /** The frames that a request brings up behind its head, from number `first` on. */
  _batch: function (first) {
    var limits = this._sid ? this._server.max_batch : [18, 5e5], frames = [], i;
    // Escaped, a byte of payload may become six; 64 KiB of a body are for everything else.
    var items = this._peek(first, limits[0] - 2, (limits[1] - 65536) / 6);
    for (i = 0; i < items.length; i++) frames.push(frameOf(items[i]));
    return frames.concat(this._goingFrame(first + items.length));
  },

  /** The head of an uplink batch. */
  _head: function () {
    this._confirm = false;
    return "u" + [this._sid, this._acks(), this._acked + 1, this._server.key];
  },

  /** Acks, on anything that came: the highest of each counts. */
  _acknowledge: function (received, taken) {
    var gone = taken - this._taken, fresh = 0, i, item;
    if (received > this._last || taken > received) throw 1002;
    for (i = Math.max(this._acked - this._taken, 0); i < received - this._taken; i++) {
      item = this._out[i];
      item._text = item._bytes = null;
      this._owed -= item._size;
      fresh += item._isClose ? 0 : 1;
    }
    if (received > this._acked) this._acked = received;
    if (gone > 0) {
      this._out.splice(0, gone);
      this._taken = taken;
    }
    this._owner.unacknowledged.splice(0, fresh);
    if (this._closing && !this._over && this._acked && this._acked === this._last && !this._unsent()) {
      this._end(this._closing[0], this._closing[1], true);
    }
  },

  /** How many items have no number yet. */
  _unsent: function () {
    return this._taken + this._out.length - this._last;
  },

  /** Moves the carrier's cursor by one numbered frame. Returns whether that one is new. */
  _isNext: function (carrier, size, now) {
    var number = carrier._down++;
    if (number <= this._received) return false;
    if (number > this._received + 1) throw 1002;
    if (this._received === this._announced) this._newsSince = now;
    this._received = number;
    this._bytes += size;
    return true;
  },

  /**
   * One frame came on `carrier`: text, or an ArrayBuffer. Returns frames to answer with on a duplex carrier, if any.
   * Throws the close code of a broken protocol.
   */
  _receive: function (carrier, frame, now) {
    var driver = this._driver, isText = typeof frame === "string";
    var fields = isText ? parse(frame) : [frame], data = fields[0], size;
    switch (isText ? frame.charAt(0) : "b") {
      case "m":
      case "b":
        size = isText ? data.length : data.byteLength;
        if (this._isNext(carrier, size, now) && !this._closing) this._owner._message(data);
        break;
      case "d":
        if (this._isNext(carrier, 0, now) && !this._closing) this._owner._tell("dropped", { count: data });
        break;
      case "c":
        if (this._isNext(carrier, 0, now)) this._end(data, fields[1], true, true);
        break;
      case "a":
        this._acknowledge(data, fields[1]);
        break;
      case "n":
        carrier._down = data;
        break;
      case "p":
        if (carrier.kind === DUPLEX) return (this._received > this._announced ? ["a" + this._acks()] : []).concat("q" + data);
        if (carrier.kind === STREAM) this._confirm = true;
        break;
      case "o":
        this._open(carrier, data);
        break;
      case "r":
        this._acknowledge(data, fields[1]);
        if (!this._over) driver._attached(carrier);
        break;
      case "k":
        this._tickets = data.split(",");
        break;
      case "g":
        this._held = !this._closing;
        this._going = true;
        driver._drains(data);
        break;
      case "x":
        // An open that comes late, whatever its scope: another carrier has opened this session.
        if (this._sid && carrier._opens && !carrier._attached) driver._refused(carrier, 0);
        else if (fields[1] === "carrier") driver._refused(carrier, data, fields[3]);
        else this._refuse(data, fields[2], fields[3]);
    }
  },

  _open: function (carrier, server) {
    if (this._sid && server.sid !== this._sid) {
      this._driver._refused(carrier, 0); // it opened another session
      return;
    }
    if (!this._sid) {
      this._sid = server.sid;
      this._server = server;
      this._window = server.window;
    }
    this._confirm = true;
    this._acknowledge(server.ack[0], server.ack[1]);
    if (!this._over) this._driver._opened(carrier, server);
  },

  /** The session is over, or there never was one. What the server had received is taken from it first. */
  _refuse: function (code, received, reason) {
    if (received > this._acked && received <= this._last) this._acknowledge(received, this._taken);
    this._end(code, reason);
  },

  /** Ends the session: the one place that does. `ackDue`: the server waits for the ack of its close. */
  _end: function (code, reason, clean, ackDue) {
    if (this._over) return;
    this._over = true;
    this._driver._hasEnded(code, reason, clean, ackDue);
  }
};

/** An item as a frame: an ArrayBuffer where the carrier takes them. */
function frameOf(item, binary) {
  if (item._bytes && binary) return item._bytes.buffer;
  if (item._bytes && !item._text) item._text = "b" + toBase64(item._bytes);
  return item._text;
}
