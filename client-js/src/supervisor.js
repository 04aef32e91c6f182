/**
 * Keeps a carrier under a session: does what the policy (supervision.js) says, and tells it what happens.
 *
 * Whatever is due by time or by state is done in one place, turn(), which may be called at any moment and sets one
 * timer for what comes next. So a page that slept, or whose timers are slow, catches up by itself.
 */
import { interval, silence } from "./limits.js";
import { DUPLEX, HELD, POLL } from "./machine.js";
import { CANNOT } from "./known.js";
import { clock } from "./time.js";

var ASLEEP = 10000; // a timer that is so late belongs to a page that slept
var MOST_HELD = 3; // requests held open in one page for one origin: browsers allow six connections, old ones fewer

var held = {}; // origin -> how many sessions of this page hold a request

/** For `driver`; requests are counted for each `origin`. */
export function obey(driver, origin) {
  var owner = driver._owner, machine = driver._machine, policy = driver._policy, options = driver._options;
  var uplink = driver._uplink;
  var tested; // the stream that waits for its POST, or did last
  var dueAt = Infinity;
  var holding, turning, again, timer;
  // What the policy may say.
  var does = {
    start: start,
    test: function (carrier) {
      tested = carrier;
      carrier._judged = false;
    },
    stop: function (carrier, how) {
      stop(carrier);
      if (how && carrier._role === "carry") lost(carrier, how);
    },
    /** A probe by a duplex carrier was answered. */
    take: function (carrier) {
      carrier._gen = ++machine._gen;
      hold(false);
      write([machine._hello(carrier)]);
    },
    renew: function (reason) {
      if (typeof options.auth === "function") driver._start();
      else machine._end(4401, reason);
    },
    end: function (reason, code) {
      machine._end(code, !machine._sid && code === 4411 && driver._why ? reason + ": " + driver._why : reason);
    }
  };

  driver._turn = turn;
  driver._ended = ended;
  driver._stop = stop;
  driver._carries = carries;
  driver._write = write;
  driver._flush = flush;
  driver._drop = drop;

  // -- starting and stopping carriers --------------------------------------------------------------------------------

  function start(carrier) {
    var role = carrier._role;
    // What opens a session leaves the gen below to a poll that may open beside it; the first of all is for probes.
    if (role === "carry") machine._gen += carrier._opens ? 2 : 1;
    carrier._gen = role === "probe" ? 1 : role === "open" ? machine._gen - 1 : machine._gen;
    if (role !== "probe") hold(carrier.kind % POLL > 0);
    run(carrier);
  }

  function run(carrier) {
    var transport = carrier._transport, asks = carrier._role === "probe" && carrier.kind < HELD;
    if (machine._sid && !asks && !machine._proof(carrier)) {
      // Its URL wants a ticket, and there is none, which is rare; a poll is believed without a probe then.
      if (carrier._role === "probe") policy._proven(clock(), carrier);
      else carrier._link = uplink._say(["k" + carrier._gen], function (how) {
        if (how || !machine._proof(carrier)) carrier.end(how || "no answer");
        else run(carrier);
      }, options.attachTimeout)._link;
      return;
    }
    try {
      carrier._link = transport.open(carrier, driver._address(transport.name), asks ? "p" : driver._hello(carrier));
    } catch (error) {
      carrier.end(error.message || CANNOT);
    }
  }

  /** Keeps the page's account of held requests. */
  function hold(holds) {
    if (holds !== !!holding) held[origin] = (held[origin] || 0) + (holds ? 1 : -1);
    holding = holds;
  }

  /** Lets go of a carrier, whatever it might still bring. */
  function stop(carrier) {
    try {
      carrier._over = true;
      carrier._link.stop();
    } catch (error) {
      // There is none, or what the page has put in its place can't.
    }
  }

  /** Lets go of everything that is under way. */
  function drop() {
    clearTimeout(timer);
    stop(policy._newest);
    stop(policy._old);
    stop(policy._beside);
    policy._dropped(clock());
    uplink._stop();
    hold(false);
  }

  /** A carrier has ended of itself; `how` in words, or "" for a poll that was answered. */
  function ended(carrier, how) {
    var now = clock(), last = carrier._last, fails = carrier._refusal, carried = carrier === policy._newest;
    if (carrier._over) return;
    if (fails) policy._refused(now, carrier, fails, how, carrier._wait);
    else if (carrier._role === "probe" && (last || !how)) policy._proven(now, carrier);
    else if (last === "superseded") policy._superseded(now, carrier);
    else if (last) policy._recycled(now, carrier);
    else if (!how && carrier._attached) policy._answered(now, carrier, carrier._brings || machine._received > carrier._from);
    else policy._lost(now, carrier, (fails = how = how || "cut"), carrier._wait);
    stop(carrier);
    if (fails && carried) lost(carrier, how);
    else if (fails) driver._table();
    turn();
  }

  /** The newest carrier was lost. */
  function lost(carrier, how) {
    machine._unannounced();
    driver._why = carrier._transport.name + ": " + how;
    if (machine._sid && !machine._closing) driver._set("detached");
    driver._table();
    // Where HTTP says that there is nothing of this name, nobody else will find it either.
    if (!machine._sid && /HTTP 404/.test(how)) machine._end(4411, "no transport got through: " + driver._why);
  }

  // -- writing -------------------------------------------------------------------------------------------------------

  /** Whether messages go up on a duplex carrier. */
  function carries() {
    var carrier = policy._newest;
    return carrier && carrier.kind === DUPLEX && carrier._attached;
  }

  /** Writes frames on the newest carrier, a duplex one. */
  function write(frames) {
    try {
      if (frames.length) policy._newest._link.write(frames);
    } catch (error) {
      policy._newest.end(error.message);
    }
  }

  function flush() {
    if (policy._newest._ready) write(machine._flush(policy._newest, clock()));
    count();
  }

  /** Counts the bytes that were not handed to the network. */
  function count() {
    owner.bufferedAmount = carries() ? machine._waits + policy._newest._link.waiting() : machine._owed;
  }

  // -- the one place where time passes -------------------------------------------------------------------------------

  function turn() {
    // Whatever happens on the way may call again: that is another round, not another level.
    again = true;
    if (turning) return;
    turning = true;
    try {
      while (again) {
        again = false;
        if (!machine._over && !driver._parked) round(clock());
      }
    } catch (error) {
      timer = setTimeout(turn, 1000); // whatever it was, it goes on
      throw error;
    } finally {
      turning = false;
    }
  }

  /** Whether it is time; if not, the timer is set for it. */
  function due(when, now) {
    if (when > now) dueAt = Math.min(dueAt, when);
    return when <= now;
  }

  function round(now) {
    var slept = now - dueAt > ASLEEP, carrier, kind, batch, actions, i;
    clearTimeout(timer);
    dueAt = Infinity;
    if (slept) {
      driver._check();
      return;
    }

    if (machine._unsent() && !machine._held) policy._news(now);
    policy._waits = driver._asking || (machine._closing && uplink._batch);
    policy._calm = driver._state === "open";
    policy._crowded = !holding && held[origin] >= MOST_HELD;
    actions = policy._all.length ? policy._turn(now) : [["end", CANNOT, 4411]];
    for (i = 0; i < actions.length && !machine._over; i++) does[actions[i][0]](actions[i][1], actions[i][2]);
    driver._known._store();
    due(policy._deadline(), now);

    carrier = policy._newest;
    if (carrier && carrier._attached && carrier.kind < HELD) watch(carrier, now);
    else if (machine._sid && due(policy._contact + policy._lifetime, now)) machine._end(4411, "no contact");
    carrier = policy._newest;
    if (carrier && carrier.kind === DUPLEX) flush();
    kind = carrier ? carrier.kind : policy._goesOn ? policy._goesOn._kind : DUPLEX;
    uplink._turn(now, kind, carrier && carrier._brings, tested && !tested._over && !tested._judged && tested);
    batch = uplink._batch;
    if (batch && due(batch._heard + policy._grown(options.postTimeout, policy._postsFailed), now)) batch.end("no answer in time");
    if (due(driver._closeAt, now)) machine._end(4412, "no answer in time");
    if (machine._over) return;

    if (!uplink._batch && carrier) {
      due(policy._postAt, now);
      due(machine._ackDue(driver._ackDelay(kind)), now);
    }
    count();
    driver._dueAt = dueAt;
    if (dueAt < Infinity) timer = setTimeout(turn, Math.min(dueAt - now, 2e9));
  }

  /** A carrier that may be mute for so long. */
  function watch(carrier, now) {
    var most = silence(machine._server);
    if (due(carrier._heard + most, now)) carrier.end("silent");
    else if (carrier.kind === DUPLEX && !carrier._pinged && due(carrier._heard + (interval(machine._server) + most) / 2, now)) {
      carrier._pinged = true; // later than the server, whose ping would then be on its way
      write(["p"]);
    }
  }
}
