/**
 * Keeps a carrier under a session: does what the policy (supervision.js) says, and tells it what happens.
 *
 * Whatever is due by time or by state is done in one place, turn(), which may be called at any moment and sets one
 * timer for what comes next. So a page that slept, or whose timers are slow, catches up by itself.
 */
import { renew } from "./auth.js";
import { endpoint, restart, stop } from "./carrier.js";
import { CANNOT, history, store, table } from "./known.js";
import { DUPLEX, end, flush as flushed, HELD, hello, peek, POLL, PROBE, proof, unannounced } from "./machine.js";
import { random } from "./random.js";
import { say } from "./say.js";
import { BEAT, places } from "./tabs.js";
import { NEVER } from "./time.js";
import { sendUp } from "./uplink.js";

var ASLEEP = 10000; // a timer that is so late belongs to a page that slept

// What the policy may say: see supervision.js.
export var DOES = {
  _start: start,
  _test: function (s, carrier) {
    s._test = carrier;
  },
  _stop: function (s, carrier, how) {
    stop(carrier);
    if (how && !carrier._role) lost(s, carrier, how);
  },
  /** A probe by a duplex carrier was answered. */
  _take: function (s, carrier) {
    carrier._gen = ++s._gen;
    write(s, [hello(s, carrier)]);
  },
  /** What went behind opens by the nonce before, which nobody has answered, must not go again. */
  _anew: function (s) {
    if (s._risks) end(s, 4411, "no answer in time");
    s._last = 0;
    s._waiting = s._owed;
    places(s, false);
    s._nonce = random();
  },
  _renew: renew,
  _end: function (s, reason, code) {
    end(s, code, !s._sid && code === 4411 && s._why ? reason + ": " + s._why : reason);
  }
};

// -- starting and stopping carriers ----------------------------------------------------------------------------------

function start(s, carrier) {
  // What opens a session leaves the gen below to a poll that may open beside it; the first of all is for probes.
  if (!carrier._role) s._gen += carrier._opens ? 2 : 1;
  carrier._gen = carrier._role === PROBE ? 1 : s._gen - carrier._role;
  run(s, carrier);
}

function run(s, carrier) {
  var transport = carrier._of._transport, asks = carrier._role === PROBE && carrier._kind < HELD;
  if (s._sid && !asks && !proof(s, carrier)) {
    // Its URL wants a ticket, and there is none, which is rare; a poll is believed without a probe then.
    if (carrier._role === PROBE) s._proven(carrier);
    else carrier._link = say(s, ["k" + carrier._gen], function (how) {
      if (how || !proof(s, carrier)) carrier.end(how || "no answer");
      else run(s, carrier);
    })._link;
    return;
  }
  carrier.secret = !s._sid && (s._auth !== undefined || s._owner._hasCursors);
  try {
    carrier._link = transport.open(carrier, endpoint(s, transport.name), asks ? "p" : hello(s, carrier, history(s), s._auth));
  } catch (error) {
    carrier.end(error.message || CANNOT);
  }
}

/** Whether a request of this carrier's is held open. */
function isHeld(carrier) {
  return carrier && carrier._kind % POLL;
}

/** Lets go of everything that is under way. */
export function drop(s) {
  clearTimeout(s._timer);
  stop(s._newest);
  stop(s._old);
  stop(s._beside);
  s._dropped();
  unannounced(s);
  stop(s._batch);
  s._batch = null;
  places(s, (s._holds = false));
}

/** A carrier has ended of itself; `how` in words, or "" for a poll that was answered. */
export function ended(s, carrier, how) {
  var last = carrier._last, fails = carrier._refusal, carried = carrier === s._newest;
  if (carrier._over) return;
  s._at();
  if (fails) s._refused(carrier, fails, how);
  else if (carrier._role === PROBE && (last || !how)) s._proven(carrier);
  else if (last === "superseded") s._superseded(carrier);
  else if (last) s._recycled(carrier);
  else if (!how && carrier._attached) s._answered(carrier, carrier._brings || s._received > carrier._from);
  else s._lost(carrier, (fails = how = how || "cut"));
  stop(carrier);
  if (fails) {
    if (carried) lost(s, carrier, how);
    else table(s);
  }
  turn(s);
}

/** The newest carrier was lost. */
function lost(s, carrier, how) {
  unannounced(s);
  s._why = carrier._of._name + ": " + how;
  table(s);
  if (s._sid && !s._closing) s._owner._stateIs("detached");
  // Where HTTP says that there is nothing of this name, nobody else will find it either.
  if (!s._sid && /HTTP 404/.test(how)) end(s, 4411, "no endpoint: " + s._why);
}

// -- writing ---------------------------------------------------------------------------------------------------------

/** Whether messages go up on a duplex carrier. */
export function carries(s) {
  return s._newest && s._newest._kind === DUPLEX && s._newest._attached;
}

/** Writes frames on the newest carrier, a duplex one. */
export function write(s, frames) {
  try {
    if (frames.length) s._newest._link.write(frames);
  } catch (error) {
    s._newest.end(error.message);
  }
}

export function flush(s) {
  if (s._newest && s._newest._ready) write(s, flushed(s, s._newest, s._at()));
  // Bytes that were not handed to the network.
  s._owner.bufferedAmount = carries(s) ? s._waiting + s._newest._link.waiting() : s._owed;
}

// -- the one place where time passes ---------------------------------------------------------------------------------

export function turn(s) {
  // Whatever happens on the way may call again: that is another round, not another level.
  s._again = true;
  if (s._turning) return;
  s._turning = true;
  try {
    while (s._again) {
      s._again = false;
      if (!s._ended && !s._parked) round(s, s._at());
    }
  } catch (error) {
    timer(s, 1000); // whatever it was, it goes on
    throw error;
  } finally {
    s._turning = false;
  }
}

function timer(s, wait) {
  s._timer = setTimeout(function () {
    turn(s);
  }, wait);
}

function round(s, now) {
  var carrier = s._newest, actions, due, i;
  clearTimeout(s._timer);
  if (now - s._deadline > ASLEEP) check(s); // this was to be called long ago

  // Between two plain polls the next one need not wait if something can go up.
  if (!s._newest && peek(s, s._last + 1, 1, 0).length) s._news();
  s._waits = s._closing && s._batch;
  s._calm = s._owner.state === "open";
  s._crowd(places(s, s._holds) && !s._holds);
  // There is no way, or what the page has closed before it was open is not being opened any more, or not yet: a socket that
  // waits for its connection, to say what must not be in a URL.
  if (!s._all.length || (s._mute && !s._sid && !s._beside && !(carrier && (carrier._kind || carrier._ready || !carrier.secret)))) end(s, 4411, CANNOT);
  actions = s._turn();
  for (i = 0; i < actions.length && !s._ended; i++) actions[i][0](s, actions[i][1], actions[i][2]);
  places(s, (s._holds = isHeld(s._newest) || isHeld(s._beside)));
  store(s);

  if (s._holds) s._due(now + BEAT);
  carrier = s._newest;
  if (carrier && carrier._attached && carrier._kind < HELD) watch(s, carrier);
  else if (s._sid && s._due(s._contact + s._lifetime)) end(s, 4411, "no contact");
  if (s._due(s._closeAt)) end(s, 4412, "no answer in time");
  if (s._ended) return;

  flush(s);
  sendUp(s);
  // Its own timer may starve: in HtmlUnit, beside scripts that are held.
  if (s._batch && s._due(s._batch._heard + s._grown(s._options.postTimeout, s._postsFailed))) s._batch.end("no answer in time");
  due = s._deadline;
  if (due < NEVER) timer(s, Math.min(due - now, 2e9));
}

/** A carrier that may be mute for so long. */
function watch(s, carrier) {
  if (s._due(carrier._heard + s._silence)) carrier.end("silent");
  else if (carrier._kind === DUPLEX && !carrier._pinged && s._due(carrier._heard + (s._interval + s._silence) / 2)) {
    carrier._pinged = true; // later than the server, whose ping would then be on its way
    write(s, ["p"]);
  }
}

/** The page has slept, or the network is `another`: what seems to live may be dead. */
export function check(s, another) {
  s._at();
  s._online(another);
  if (another && s._batch) s._batch.end("cut"); // and is repeated at once
  restart(s);
}
