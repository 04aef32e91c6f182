/**
 * One session: what the application asks, what happens to its page, and what its carriers bring. Which carrier is started
 * when is the policy's to say (supervision.js), which supervisor.js obeys.
 *
 * A session, `s`, is one object: the policy's, to which machine.js adds what has a number, and drive() the rest. Each of
 * the files that know it adds functions.
 */
import { Carrier, endpoint, restart } from "./carrier.js";
import { toBatch } from "./frames.js";
import { rank, remember, table } from "./known.js";
import { HOLD } from "./uplink.js";
import { ackDue, acks, batch, begin, DUPLEX, end, head, HELD, PROBE, queue, queueClose, take, unsent } from "./machine.js";
import { random } from "./random.js";
import { root } from "./root.js";
import { acknowledgeClose, say } from "./say.js";
import { supervise } from "./supervision.js";
import { carries, DOES, drop, ended, flush, turn, write } from "./supervisor.js";
import { clock, NEVER } from "./time.js";

/**
 * A session of `owner`, the application's object, at its `url`, with its _options. That hears: _transportIs(name, reason),
 * _stateIs(state), _message(data), _tell(type, event) and _closed(code, reason, clean, delay); the last is when it is over.
 * For what rooms say it may have _hear(), `cursors` and _hasCursors: see cursors.js.
 */
export function drive(owner) {
  var options = owner._options, transports = options.transports, origin = originOf(owner.url);
  var usable = []; // transports that can run here
  var i, s;
  options.cross = root.location && originOf(location.href) !== origin;
  for (i = 0; i < transports.length; i++) if (transports[i].usable(options.cross, options.requests)) usable.push(transports[i]);
  s = supervise(usable, options, Math.random, clock, Carrier, DOES);
  s._owner = owner;
  s._url = owner.url;
  s._options = options;
  s._key = "realtime:" + origin; // of the browser's storage
  s._listed = transports; // those of the server's list before them
  // _batch: the request in flight that brings something up; _parked; _mute: the page has closed it before it was open, and was told so
  // _interval: after how long a server that has nothing to say pings; _silence: how long a carrier may be mute
  s._why = ""; // the reason for the last change of transport
  // _risks: something went up with an open, and nobody knows what became of it
  s._asking = true; // for auth data; meanwhile nothing is started
  s._interval = s._closeAt = NEVER;
  s._turns = turn;
  s._receives = receive;
  s._ends = ended;
  s._takenUp = takenUp;
  s._hasEnded = hasEnded;
  begin(s, random(), 1 - Math.random() / 4);
  options.durable(s);
  remember(s);
  return s;
}

/** The origin of an absolute address: nobody's name and password. */
function originOf(url) {
  return url.replace(/\/\/([^\/?]*@)?([^\/?]*).*/, "//$2");
}

// -- what the application asks ---------------------------------------------------------------------------------------

export function send(s, item) {
  queue(s, item);
  if (carries(s)) flush(s);
  else turn(s);
}

export function close(s, code, reason) {
  // Nothing was sent, and nothing has come, so the page is told at once. What the server may just be opening goes on until it can be closed there.
  if (!s._sid && !s._out.length) s._owner._closed(code, reason, true, (s._mute = true));
  queueClose(s, code, reason);
  s._closeAt = s._at() + s._lifetime;
  s._owner._stateIs("closing");
  turn(s);
}

// -- what happens to the page ----------------------------------------------------------------------------------------

/** The page is put away, and may come back: nothing is said, and nothing is kept open. */
export function park(s) {
  s._parked = true;
  drop(s);
}

export function unpark(s) {
  s._parked = false;
  s._contact = s._at();
  restart(s);
}

/** The page goes for good: the session is closed, by a beacon where no WebSocket can. */
export function leave(s) {
  var said, body;
  if (s._parked) return;
  if (!s._closing) queueClose(s, 1001, "");
  if (carries(s)) {
    flush(s);
    if (unsent(s)) write(s, ["x1001,session,,"]);
  } else if (s._sid && root.navigator && navigator.sendBeacon) {
    said = head(s);
    body = toBatch([said].concat(batch(s, s._acked + 1)));
    if (unsent(s) || body.length > 6e4) body = toBatch([said, "x1001,session,,"]);
    navigator.sendBeacon(endpoint(s, "send"), body);
  }
  end(s, 1001, "");
}

// -- what carriers tell ----------------------------------------------------------------------------------------------

/** Frames have come on a carrier, or in the answer to an uplink batch. */
export function receive(s, carrier, frames) {
  var plain = carrier._kind === DUPLEX, brought = s._received, acked = s._acked;
  var isNewest = carrier === s._newest, i, answers;
  carrier._heard = s._contact = s._at();
  carrier._pinged = false;
  for (i = 0; i < frames.length && !carrier._over && !s._ended; i++) {
    plain = plain && /^[mbh[]/.test(frames[i]); // an ArrayBuffer is "[object ArrayBuffer]"
    try {
      answers = take(s, carrier, frames[i]);
      if (answers && carrier === s._newest) write(s, answers);
    } catch (code) {
      fail(s, code);
    }
  }
  if (isNewest && s._received + s._acked > brought + acked) s._delivered(s._acked > acked);
  if (carrier._kind >= HELD) return; // they tell of their end themselves, at once
  if (carrier._last) carrier.end("");
  else if (!plain || ackDue(s, 1000) < s._deadline) turn(s);
}

/** The server broke the protocol, by a code: it is told, and the session ends. */
function fail(s, code) {
  var frames;
  if (code !== +code) throw code;
  frames = ["x" + code + ",session," + s._received + ","];
  if (carries(s)) write(s, frames);
  else if (s._sid) say(s, frames);
  end(s, code, code > 4000 ? "messages lost" : "protocol error");
}

// -- what the machine tells ------------------------------------------------------------------------------------------

/** The session is taken up on a carrier; `server` is what its `o` says, if that has come. */
function takenUp(s, carrier, server) {
  var bounds;
  if (server) {
    bounds = server.poll_interval;
    rank(s, server.transports);
    s._owner._maxSize = server.max_size;
    s._interval = (server.ping_interval || NEVER) * 1000;
    s._silence = s._interval + (server.ping_timeout || NEVER) * 1000;
    s._opened(
      server.resume_window * 1000 + (s._silence < NEVER ? s._silence : 0),
      Math.min(s._silence, 2 * Math.min(s._interval, HOLD)),
      [bounds[0] * 1000, bounds[1] * 1000]
    );
  }
  if (carrier._role === PROBE) return;
  s._attached(carrier);
  if (s._mute) return; // it was closed before it was open
  if (s._owner.transport !== s._current._name) {
    table(s);
    s._owner._transportIs(s._current._name, s._why);
  }
  s._why = "it got through"; // unless something else happens first
  if (carrier === s._newest) s._owner._stateIs(s._closing ? "closing" : s._held ? "draining" : "open");
}

/** The session has ended. `ackDue`: the server waits for the ack of its close. */
function hasEnded(s, code, reason, clean, ackDue) {
  if (ackDue) {
    if (carries(s)) write(s, ["a" + acks(s)]);
    else acknowledgeClose(s, 3);
  }
  s._over();
  drop(s);
  if (!s._mute) s._owner._closed(code, reason, !!clean);
}
