/**
 * One end of a session: numbers, windows, replay, acks and closes (docs/protocol.md §4, §6, §8).
 *
 * Pure: it knows no page, no network and no clock. `s` is the session: the fields that begin() gives it are this file's.
 * It is handed what carriers bring, and asked what may go up. The application takes each message as it comes, so
 * "received" and "taken" are one number here.
 */
import { parse, toBase64, toJson } from "./frames.js";
import { NEVER } from "./time.js";

/** What a carrier is: both ways at once, one long answer, a poll that is held, a poll that is answered at once. */
export var DUPLEX = 0;
export var STREAM = 1;
export var HELD = 2;
export var POLL = 3;

/** What it is for; see supervision.js. */
export var CARRY = 0;
export var OPEN = 1;
export var PROBE = 2;

var MESSAGES = 256; // what we take before we have acked it,
var BYTES = 1048576;

/**
 * A session begins. For `ackShare`, three quarters to 1, of the usual delay an ack waits for something to ride on, and of the
 * usual quarter of the window: so the acks of a broadcast, or of many in a row, don't all come at once. It hears,
 * synchronously: _takenUp(s, carrier, server) and _hasEnded(s, code, reason, clean, ackDue); its `_owner`: _stateIs(state),
 * _message(data), _tell(type, event) and perhaps _hear(s, carrier, text), and that has the list `unacknowledged`.
 */
export function begin(s, nonce, ackShare) {
  s._nonce = nonce;
  s._ackShare = ackShare;
  // _sid: there is a session
  s._tickets = []; // a gen, and what attaches in a URL show, from that gen on
  // Up. Everything the server has not taken, oldest first; what it has received has lost its payload, not its size.
  s._out = [];
  s._gen = s._taken = s._acked = s._last = s._owed = s._waiting = s._received = s._announced = s._bytes = s._newsSince = s._delay = s._more = 0;
  // _taken: the number before _out[0]; _last: the highest number that a carrier was given; _owed: bytes that the server is
  // not known to have received, and of these _waiting without a number; _bytes: received since the last ack; _newsSince:
  // when the oldest message not announced came; _more: of rooms, in a durable session: how many frames came of which nothing was said.
  s._server = { window: [16, 65536], max_batch: [18, 5e5] }; // what any server takes before its `o` says more
  // _held: the server drains, and nothing new gets a number; _going: it waits for the answer to its go-away, and wishes that
  // we come back within _delay seconds; _closing: our close, [code, reason]; _confirm: something is due that only a request
  // can say: "I have your o", "here is my pong"; _ended.
}

/** Queues a message, {_size, _rest, _text, _bytes}: it belongs to the `_rest` messages before it; `_text` is its frame, `_bytes` what is binary. */
export function queue(s, item) {
  s._owed += item._size;
  s._waiting += item._size;
  s._out.push(item);
}

/** Queues our close behind all that has a number; the rest goes before it, unless the server drains. */
export function queueClose(s, code, reason) {
  var kept = s._last - s._taken, gone;
  s._closing = [code, reason];
  if (s._held) {
    while (rest(s, kept)) kept++;
    while (s._out.length > kept) {
      gone = s._out.pop();
      s._owed -= gone._size;
      s._waiting -= gone._size;
    }
  }
  s._held = false;
  s._out.push({ _size: 0, _text: "c" + code + "," + reason, _isClose: true });
}

/** How many items before this one it belongs to. */
function rest(s, index) {
  return (s._out[index] || {})._rest || 0;
}

/** The items from number `first` on that the window lets go, at most so many frames and bytes. They have numbers now. */
export function peek(s, first, frames, bytes) {
  var items = [], used = 0, size = 0, i, item;
  for (i = 0; i < s._out.length && items.length < frames; i++) {
    item = s._out[i];
    // What belongs to a message goes with it. What is larger than the window goes when everything before it has been
    // taken. Neither goes beyond the initial window.
    if (!item._isClose && (!s._sid || (i && !item._rest)) && (i >= s._server.window[0] || used + item._size > s._server.window[1])) break;
    if (s._held && !item._rest && s._taken + i >= s._last) break;
    used += item._size;
    if (s._taken + i + 1 < first) continue;
    size += item._size;
    if (items.length && size > bytes) break;
    items.push(item);
    if (s._taken + i + 1 > s._last) {
      s._last++;
      s._waiting -= item._size;
    }
  }
  return items;
}

export function acks(s) {
  s._announced = s._received;
  s._bytes = 0;
  return s._received + "," + s._received;
}

/** When an ack is due by time; 0 for at once. `delay` in milliseconds. */
export function ackDue(s, delay) {
  var count = s._received - s._announced + s._more;
  if (!count) return NEVER;
  // A quarter of the window, of messages and bytes together.
  if (count + s._bytes / (BYTES / MESSAGES) > (MESSAGES / 4) * s._ackShare || s._closing) return 0;
  return s._newsSince + delay * s._ackShare;
}

/** An ack in a request that was not answered is due again. */
export function unannounced(s) {
  if (s._received) s._announced = -1;
  s._newsSince = 0;
  if (s._untold) s._untold();
}

/** What an attach shows: the key, or in a URL the ticket of its gen. Nothing if that is still to be asked for. */
export function proof(s, carrier) {
  return carrier._of._transport.byUrl ? s._tickets[carrier._gen - s._tickets[0] + 1] : s._server.key;
}

/** The first frame of a carrier that has its gen: an attach, or an open with these `fields`. Sets its cursors. */
export function hello(s, carrier, fields, auth) {
  carrier._up = s._acked + 1;
  carrier._down = s._received + 1;
  carrier._from = s._received;
  s._confirm = false; // an attach names the sid
  carrier._named = s._tenure;
  if (s._sid) return "r" + [s._sid, carrier._gen, acks(s), carrier._up, proof(s, carrier)].concat(s._tenure || []);
  fields.nonce = s._nonce;
  fields.gen = carrier._gen;
  fields.window = [MESSAGES, BYTES];
  fields.auth = auth; // left out where it is undefined
  fields.rooms = s._owner.cursors;
  fields.durable = s._follows && true;
  return "o" + toJson(fields);
}

/** What may be written on a duplex carrier now, as frames. */
export function flush(s, carrier, now) {
  var first = Math.max(carrier._up, s._acked + 1), items = peek(s, first, 256, 1048576), i;
  var due = ackDue(s, items.length ? 250 : 1000) <= now || s._confirm, frames = told(s, carrier, due);
  if (due) {
    s._confirm = false;
    frames.push("a" + acks(s));
  }
  if (items.length) {
    if (first !== carrier._up) frames.push("n" + first);
    for (i = 0; i < items.length; i++) frames.push(frameOf(items[i], carrier.binary));
    carrier._up = first + items.length;
    carrier._brings = true;
  }
  return frames.concat(goingFrame(s, first + items.length));
}

/** What a carrier is told of rooms, in a durable session; how much was taken if an ack is `due`. */
export function told(s, carrier, due) {
  return s._tenure ? s._tells(carrier, due) : [];
}

/** The answer to a go-away, once everything that has a number was written: `next` is the first number that was not. */
function goingFrame(s, next) {
  if (!s._going || next <= s._last || rest(s, next - s._taken - 1)) return [];
  s._going = false;
  return ["g" + s._last];
}

/** The frames that a request brings up behind its head, from number `first` on. */
export function batch(s, first) {
  var limits = s._server.max_batch, frames = [], i;
  // Escaped, a byte of payload may become six; 64 KiB of a body are for everything else.
  var items = peek(s, first, limits[0] - 2, (limits[1] - 65536) / 6);
  for (i = 0; i < items.length; i++) frames.push(frameOf(items[i]));
  return frames.concat(goingFrame(s, first + items.length));
}

/** The head of an uplink batch. */
export function head(s) {
  s._confirm = false;
  return "u" + [s._sid, acks(s), s._acked + 1, s._server.key].concat(s._tenure || []);
}

/** Acks, on anything that came: the highest of each counts. */
function acknowledge(s, received, taken) {
  // Of what is nothing without the rest all is unacknowledged until that is acked.
  var gone = taken - s._taken, i = s._acked - s._taken, fresh = rest(s, i), item;
  if (received > s._last || taken > received) throw 1002;
  for (; i < received - s._taken; i++) {
    item = s._out[i];
    item._text = item._bytes = null;
    s._owed -= item._size;
    if (!item._isClose) fresh++;
  }
  if (received > s._acked) s._acked = received;
  fresh -= rest(s, s._acked - s._taken);
  if (gone > 0) {
    s._out.splice(0, gone);
    s._taken = taken;
  }
  s._owner.unacknowledged.splice(0, fresh);
  if (s._closing && !s._ended && s._acked === s._last && !unsent(s)) {
    end(s, s._closing[0], s._closing[1], true);
  }
}

/** How many items have no number yet. */
export function unsent(s) {
  return s._taken + s._out.length - s._last;
}

/** Moves the carrier's cursor by one numbered frame. Returns whether that one is new. */
export function isNext(s, carrier, size) {
  var number = carrier._down++;
  if (number <= s._received) return false;
  if (number > s._received + 1) throw 1002;
  if (s._received === s._announced) s._newsSince = carrier._heard;
  s._received = number;
  s._bytes += size;
  return true;
}

/**
 * One frame came on `carrier`: text, or an ArrayBuffer. Returns frames to answer with on a duplex carrier, if any.
 * Throws the close code of a broken protocol.
 */
export function take(s, carrier, frame) {
  var isText = typeof frame === "string";
  var fields = isText ? parse(frame) : [frame], data = fields[0], size;
  switch (isText ? frame.charAt(0) : "b") {
    case "m":
    case "b":
      size = isText ? data.length : data.byteLength;
      if (isNext(s, carrier, size) && !s._closing) s._owner._message(data);
      break;
    case "d":
      if (isNext(s, carrier, 0) && !s._closing) s._owner._tell("dropped", { count: data });
      break;
    case "h":
      if (s._owner._hear) s._owner._hear(s, carrier, data);
      break;
    case "l":
      if (s._tenure) s._hears(carrier, data);
      break;
    case "c":
      if (isNext(s, carrier, 0)) end(s, data, fields[1], true, true);
      break;
    case "a":
      if (!s._tenure || carrier._gen || s._follows(carrier, fields)) acknowledge(s, data, fields[1]);
      break;
    case "n":
      carrier._down = data;
      break;
    case "p":
      if (carrier._kind === DUPLEX) return (s._received > s._announced ? ["a" + acks(s)] : []).concat("q" + data);
      s._confirm = s._confirm || carrier._kind === STREAM;
      break;
    case "o":
      if (s._sid && data.sid !== s._sid) refused(carrier, 0); // it opened another session
      else if (!data.tenure || !s._follows || s._follows(carrier, [0, 0, data.tenure])) {
        s._sid = data.sid;
        s._server = data;
        s._confirm = true;
        acknowledge(s, data.ack[0], data.ack[1]);
        if (!s._ended) s._takenUp(s, carrier, data);
      }
      break;
    case "r":
      if (s._tenure && !s._follows(carrier, fields)) break;
      acknowledge(s, data, fields[1]);
      if (!s._ended) s._takenUp(s, carrier);
      break;
    case "e":
      carrier._last = data;
      break;
    case "q":
      s._proven(carrier);
      break;
    case "k":
      s._tickets = data.split(",");
      break;
    case "g":
      s._held = !s._closing;
      s._going = true;
      s._delay = data;
      if (s._held) s._owner._stateIs("draining");
      break;
    case "x":
      // An open that comes late, whatever its scope: another carrier has opened this session.
      if (s._sid && carrier._opens && !carrier._attached) refused(carrier, 0);
      else if (fields[1] === "carrier") refused(carrier, data, fields[3]);
      else {
        // The session is over, or there never was one. What the server had received is taken from it first.
        if (fields[2] > s._acked && fields[2] <= s._last) acknowledge(s, fields[2], s._taken);
        end(s, data, fields[3]);
      }
  }
}

/** A request was refused, and the session goes on. Code 0: what it brought is no matter. */
function refused(carrier, code, reason) {
  if (code) carrier._refusal = code;
  else carrier._last = "superseded";
  carrier.end(reason);
}

/** Ends the session: the one place that does. `ackDue`: the server waits for the ack of its close. */
export function end(s, code, reason, clean, ackDue) {
  if (s._ended) return;
  s._ended = true;
  s._hasEnded(s, code, reason, clean, ackDue);
}

/** An item as a frame: an ArrayBuffer where the carrier takes them. */
function frameOf(item, binary) {
  if (binary && item._bytes) return item._bytes.buffer;
  return (item._text = item._text || "b" + toBase64(item._bytes));
}
