/**
 * Which carrier of a session to start, to try, to stop, and when: races, grace, back-off, probes, upgrades, falling back
 * (docs/negotiation.md). The twin of realtime/core/supervision.py, attempts.py and choice.py, with the same names;
 * tests/vectors/supervision.json holds both to the same histories.
 *
 * Pure: no clock, no chance, no timers. The shell tells what happens, calls _turn() after each event and when _deadline
 * has come, and does what _turn() says, in order: a list of [how, ...], where `how` is a member of the shell's table, `does`. Times
 * are in milliseconds, and come first in each event. What the table has:
 *
 *   _start, carrier      `carrier._role` CARRY: attach (or open) by it; it is the newest carrier now
 *                        OPEN: a second way to open the session; never takes over
 *                        PROBE: try it beside the one in use; nothing of the session goes over it
 *   _test, carrier       of a stream: send a POST beside it, and tell _tested() when that is answered
 *   _stop, carrier, how  let go of it; whatever comes of it need not be told. `how`: why it was given up, if it was
 *   _take, carrier       of a probe that was proven: attach by it; it is the newest carrier now
 *   _anew                no open by the nonce before was answered: draw another, or say that what went behind it may be lost
 *   _renew, reason       ask the application for other auth data, and set `_asking` to false
 *   _end, reason, code   the session ends, or can't be opened
 */
import { CARRY, DUPLEX, HELD, OPEN, POLL, PROBE, STREAM } from "./machine.js";
import { doubled, NEVER } from "./time.js";

export var OPEN_TIMEOUT = 30000; // for opening, all transports together

var NONCE_END = 10000; // opens by one nonce are let go of when the first was so long ago: a lease of a worker's
var NONCE_REST = 3000; // and none begins by it so shortly before
var GOOD_LIFE = 10000; // a carrier that lived so long was a good one: its end is no evidence
var GRACE = 500; // for a WebSocket that has reached the server, after HTTP had an answer
var HELD_AFTER = 500; // a stream is held back if it is mute twice as long as a POST took, and so much longer
var SUPERSEDED = 300; // the pause after the server had another carrier; doubled each time in a row
var SHARE = 0.25; // so much of what a session has left one attempt may take,
var LONGEST = 3; // and this part of its life any pause
var FIRST_PAUSE = 100; // between two carriers that failed, doubled up to
var LONGEST_PAUSE = 10000;
var FIRST_LOOK = 5000; // after a failure of a transport it is not tried for so long, doubled up to
var LONGEST_LOOK = 300000;
var MANY = 6; // after so many POSTs in a row that failed another way up is looked for
var LOOK = 1000; // the shortest time between two looks for something better
var LATER_COUNTS = 5; // "come back later" counts like so many failures
var CROWDED = 1e12; // what needs another held request waits behind everything else
var MOST_TIMES = 64; // more failures in a row are not counted

/**
 * For one session. `transports`: {name, kind}, most wanted first. `rules`: _attachTimeout, _raceDelay and _upgrade, as the
 * application has set them. A page insists: nobody else would try again (see Rules in choice.py). `jitter` gives numbers
 * from 0 to below 1. `make` is the class of what stands for a carrier, and is given the session.
 */
export function supervise(transports, rules, jitter, clock, make, does) {
  var all = [], now = clock(), i; // what is known of each transport
  for (i = 0; i < transports.length; i++) {
    all[i] = {
      _name: transports[i].name,
      _kind: transports[i].kind,
      _transport: transports[i],
      _times: 0, // failures in a row: how many,
      _when: 0, // and when and how the last
      // _how,
      // _out: why it is out of the question
      // _took: how long it took to get through, the first time it did, in seconds
      _failedAt: 0, // if it has failed to carry since a carrier was of use
      _notBefore: 0, // somebody said when to come back
      _late: 0 // time-outs of probes in a row
    };
  }
  var bounds, held, pause = 0; // what the server announced, see _opened(); the pause between two plain polls
  var isOpen, isOver, raced, inDoubt, hasRenewed, crowded; // isOpen: there is a session
  var troubles = 0; // transports that have a `_failedAt`
  // In a row: failures of carriers, forgotten when something was delivered, or after a good life.
  var fails = 0, timesSuperseded = 0;
  // When what is due; since when the newest, or its run of polls, carries; since when POSTs fail.
  var startAt = now, upgradeAt = NEVER, began = NEVER, postsSince;
  var nonceEnd = NEVER; // when what opens by the nonce is let go of
  var actions = [];

  var it = {
    // What the shell sets, before a turn.
    _contact: now, // when anything came last
    // _waits: nothing is to be started now; _asking: for auth data, so neither
    // _calm: the session is open and not about to end, a time to look for something better
    _openBy: NEVER,
    // What the shell may read.
    _all: all,
    _ranks: all, // most wanted first; the shell sets the server's order, and what is not in it is out
    // _current: the transport that carries, or did last
    // _goesOn: with that, the next poll, a recycled stream
    // _newest: the carrier that is to carry; between two polls there is none
    // _old: the one before, until the newest is attached
    // _beside: a probe, or a second way of opening
    _lifetime: OPEN_TIMEOUT,
    _postAt: 0, // no POST before that
    _postsFailed: 0, // in a row; forgotten when what goes up has got through
    _late: 0, // time-outs of carriers in a row
    _deadline: NEVER, // when _turn() is to be called if nothing happens before, as long as the session is not over
    _times: times,
    _grown: grown,
    _due: due,

    /** What time it is, from now on: before an event, and before a turn. */
    _at: function () {
      return (now = clock());
    },

    /** What is to be done now, in this order. May be called at any time. */
    _turn: function () {
      it._deadline = NEVER;
      if (!isOver) watch();
      if (!isOver) {
        if (!it._newest && !it._waits && !it._asking && due(startAt)) start(it._goesOn || next());
        race();
        tryBetter();
      }
      return actions.splice(0, 99);
    },

    // -- events: what a carrier tells ------------------------------------------------------------------------------------

    /** There is a session; _attached() follows. How long it outlives the last contact, how long a held poll may take, and
     * the bounds of the pause between two plain polls. */
    _opened: function (lifetime, hold, pauses) {
      if (!isOpen) fails = 0;
      isOpen = true;
      it._contact = now;
      it._lifetime = lifetime;
      held = hold;
      bounds = pauses;
      pause = pauses[0];
    },

    /** A carrier has taken up the session (its `o` or `r` has come). */
    _attached: function (carrier) {
      var known = carrier._of;
      if (carrier._over || carrier._attached) return;
      carrier._attached = true;
      gotThrough(carrier);
      if (carrier === it._newest) {
        it._late = hasRenewed = 0;
        began = Math.min(began, now);
        if (!(known._kind % POLL)) it._postAnswered();
        stop(it._old);
        if (isOpening()) stop(it._beside);
      } else if (carrier === it._old || it._current) return;
      if (known !== it._current) {
        it._current = known;
        inDoubt = 0;
        lookBy(now + LOOK);
      }
    },

    /** A part of a poll's answer has come that says nothing yet. */
    _alive: function (carrier) {
      if (carrier._kind >= HELD) carrier._lateAt = now + carrier._limit;
    },

    /** The POST that tests a stream was answered after so long. */
    _tested: function (carrier, took) {
      carrier._verdictAt = now + 2 * took + HELD_AFTER;
    },

    /** A probe was answered: the session moves to its transport. */
    _proven: function (carrier) {
      if (carrier._over || carrier._role !== PROBE) return;
      gotThrough(carrier);
      carrier._of._late = 0;
      it._goesOn = null;
      if (carrier._kind === DUPLEX) {
        it._beside = null;
        began = NEVER;
        carrier._role = CARRY;
        carrier._lateAt = now + patience(it);
        become(carrier);
        act(does._take, carrier);
      } else {
        stop(carrier);
        start(carrier._of);
      }
    },

    /** A poll was answered whole. `news`: it brought a message, or took one along. */
    _answered: function (carrier, news) {
      if (!ends(carrier, 0)) return;
      it._goesOn = carrier._opens ? null : carrier._of; // one that opens was only to open
      if (carrier._opens || carrier._kind !== POLL) return;
      pause = news ? bounds[0] : Math.min(pause * 2, bounds[1]);
      startAt += pause;
    },

    /** The server has another carrier than this one. */
    _superseded: superseded,

    /** A carrier was ended on purpose, to start again: at once if it was of use, else as after a failure. */
    _recycled: function (carrier) {
      if (!takeOut(carrier) || carrier._role) return;
      if (livedWell(carrier)) ofUse();
      it._goesOn = carrier._of;
      backOff();
    },

    /** A carrier has failed, or was cut. `wait`: an answer had a Retry-After. */
    _lost: function (carrier, how, wait) {
      if (!takeOut(carrier)) return;
      if (wait) carrier._of._notBefore = now + Math.min(wait, it._lifetime / LONGEST);
      failed(carrier, how);
    },

    /** The server has refused a carrier, without prejudice to the session (docs/protocol.md §9). */
    _refused: function (carrier, code, reason, wait) {
      var known = carrier._of, carries = !carrier._role;
      if (carrier._opens && isOpen && !carrier._attached) superseded(carrier); // another has opened the session
      if (!takeOut(carrier)) return;
      if (carries) {
        began = NEVER;
        startAt = now;
        promote();
      }
      if (code === 4401 && !hasRenewed) {
        hasRenewed = it._asking = 1;
        act(does._renew, reason);
      } else if (code === 4408 || code === 4429 || code === 4503) {
        wait = Math.min(wait || 0, it._lifetime / LONGEST);
        if (carries) {
          fails = Math.max(fails + 1, LATER_COUNTS);
          startAt += Math.max(backedOff(fails - 2), wait);
        } else known._notBefore = now + Math.max(wait, LONGEST_PAUSE);
      } else {
        known._out = reason || "refused";
        // The server does not want this client, and another transport would not help; or no other is left.
        if (code === 4401 || (code !== 4406 && !isOpen) || !allowed().length) end(reason, code);
      }
    },

    // -- events: everything else -----------------------------------------------------------------------------------------

    /** The newest carrier has brought a message, or (`up`) word of one: so what failed before is forgotten. */
    _delivered: function (up) {
      ofUse();
      if (up) it._postsFailed = 0;
    },

    /** There is something to send: between two plain polls the next one need not wait. */
    _news: function () {
      if (!it._newest && it._goesOn && it._goesOn._kind === POLL) startAt = now;
    },

    /** A POST beside the carrier was lost or refused. */
    _postFailed: function (how, wait) {
      var givesUp;
      if (isOver) return;
      if (!it._postsFailed++) postsSince = now;
      how = "nothing goes up: " + how;
      givesUp = postsSince + it._lifetime;
      if (now >= givesUp) {
        end(how);
        return;
      }
      it._postAt = Math.min(now + Math.max(backedOff(it._postsFailed - 1), wait || 0), givesUp);
      if (it._postsFailed % MANY) return;
      inDoubt = 1;
      upgradeAt = now;
      blame(0, how, HELD);
    },

    /** What goes up has got through. */
    _postAnswered: function () {
      it._postsFailed = inDoubt = 0;
    },

    /** Whether other sessions hold requests enough: see CROWDED. */
    _crowd: function (is) {
      if (crowded && !is) lookBy(now + LOOK); // there is a place again
      crowded = is;
    },

    /** The network is back, or the machine has slept. `another`: it is another one, of which what failed says nothing. */
    _online: function (another) {
      var newest = it._newest, i;
      fails = timesSuperseded = 0;
      it._postAt = Math.min(it._postAt, now);
      if (another) {
        for (i = 0; i < all.length; i++) {
          all[i]._times = all[i]._notBefore = all[i]._late = all[i]._failedAt = 0;
        }
        it._late = troubles = 0;
        lookBy(now);
      }
      if (!newest) startAt = now;
      else if (isOpen && (newest._attached || newest._kind === HELD)) start(newest._of); // it tells
    },

    /** The shell has let go of every carrier, and wants to start afresh (a page that was put away). */
    _dropped: function () {
      it._newest = it._old = it._beside = it._goesOn = null;
      began = NEVER;
      fails = 0;
      startAt = now;
    },

    /** The session has ended. The shell lets go of every carrier. */
    _over: function () {
      isOver = true;
    }
  };
  return it;

  function act(what, whom, how) {
    actions.push([what, whom, how]);
  }

  // -- what is due -------------------------------------------------------------------------------------------------------

  /** Whether it is time; if not, _deadline knows of it. */
  function due(when) {
    if (when > now) it._deadline = Math.min(it._deadline, when);
    return when <= now;
  }

  /** What was started and is late, or held back; opening as a whole; a life that has become a good one. */
  function watch() {
    if (!isOpen && !it._asking && due(it._openBy)) end("no answer in time");
    judge(it._newest);
    judge(it._beside);
    if (troubles && due(began + GOOD_LIFE)) ofUse();
  }

  function judge(carrier) {
    if (!carrier || carrier._attached) return;
    if (due(carrier._verdictAt)) giveUp(carrier, "held back", STREAM);
    else if (due(carrier._graceAt)) giveUp(carrier, "HTTP won");
    else if (due(carrier._lateAt)) {
      (carrier._role === PROBE ? carrier._of : it)._late++;
      giveUp(carrier, "no answer in time");
    }
  }

  /** HTTP opens the session beside a WebSocket that takes its time: whichever wins. */
  function race() {
    var newest = it._newest, known;
    if (!newest || newest._kind !== DUPLEX || isOpen || raced || it._beside || !due(newest._since + rules.raceDelay) || now > nonceEnd - NONCE_REST) return;
    raced = 1;
    known = opener();
    if (known) it._beside = begin(known, OPEN);
  }

  /** While a lesser transport carries the session in peace, tries the better ones beside it. */
  function tryBetter() {
    var newest = it._newest, current = it._current, soonest = NEVER, above = inDoubt, i, known, at, first;
    if (!isOpen || it._beside || !(inDoubt || (it._calm && rules.upgrade))) return;
    if (newest ? newest._of !== current || (!newest._attached && current._kind < HELD) : !current || it._goesOn !== current) return;
    if (!due(upgradeAt)) return;
    // What is wanted more; from one stream to another nothing is won. In doubt: what brings up what goes up by itself.
    for (i = it._ranks.length; i--; ) {
      known = it._ranks[i];
      if (above && !known._out && (inDoubt ? !(known._kind % POLL) : known._kind !== STREAM || current._kind !== STREAM)) {
        at = retryAt(known);
        soonest = Math.min(soonest, at);
        if (at <= now) first = known;
      }
      above = above || known === current;
    }
    upgradeAt = now + Math.max(soonest - now, LOOK) * (1 + jitter() / 4);
    if (first) it._beside = begin(first, PROBE);
    else due(upgradeAt);
  }

  // -- what is known of the transports -------------------------------------------------------------------------------------

  /** How many failures in a row are remembered: each longest wait without a further one forgets one. */
  function times(known) {
    return Math.max(known._times - Math.floor((now - known._when) / LONGEST_LOOK), 0);
  }

  /** Evidence against a transport, and against all that hold a request, of kinds up to `most`. */
  function blame(known, how, most) {
    var i, one;
    for (i = 0; i < all.length; i++) {
      one = all[i];
      if (one === known || (one._kind && one._kind <= most)) {
        one._times = Math.min(times(one) + 1, MOST_TIMES);
        one._when = now;
        one._how = how;
      }
    }
  }

  /** A carrier was of use. Several that failed in a row may have met a network that was gone: they are tried again soon. */
  function ofUse() {
    var i;
    fails = 0;
    if (troubles > 1) lookBy(now + LOOK);
    for (i = 0; i < all.length; i++) {
      if (troubles > 1 && all[i]._failedAt) all[i]._times = 0;
      all[i]._failedAt = 0;
    }
    troubles = 0;
  }

  /** Those that are not out of the question. */
  function allowed() {
    var list = [], i;
    for (i = 0; i < it._ranks.length; i++) if (!it._ranks[i]._out) list.push(it._ranks[i]);
    return list;
  }

  /** When a transport is worth a try: `now` if it is well. */
  function retryAt(known) {
    var failures = times(known), at = Math.max(now, known._notBefore);
    if (failures) at = Math.max(at, known._when + doubled(FIRST_LOOK, failures - 1, LONGEST_LOOK));
    return crowded && known._kind % POLL ? at + CROWDED : at;
  }

  /** The most wanted that is well; if none is, the one that will be soonest, of these the one that failed longest ago. */
  function next() {
    var list = allowed(), best = list[0], i, sooner;
    for (i = 1; i < list.length; i++) {
      sooner = retryAt(list[i]) - retryAt(best);
      if (sooner < 0 || (!sooner && list[i]._failedAt < best._failedAt)) best = list[i];
    }
    return best;
  }

  /** The most wanted of the polls that are well: what opens a session for others. */
  function opener() {
    var list = allowed(), i;
    for (i = 0; i < list.length; i++) if (list[i]._kind >= HELD && retryAt(list[i]) <= now) return list[i];
  }

  // -- starting and stopping -----------------------------------------------------------------------------------------------

  /** Makes a transport carry the session from now on. */
  function start(known) {
    // A session is opened by a poll where there is one, so that the stream can be tested against a POST.
    if (!isOpen && known._kind === STREAM) known = opener() || known;
    if (!it._goesOn || known._kind < HELD) began = NEVER;
    it._goesOn = null;
    stop(it._old);
    become(begin(known, CARRY));
  }

  function begin(known, role) {
    var carrier = new make(it), limit = patience(role === PROBE ? known : it);
    if (isOpen) {
      if (known._kind === HELD && !role) limit = Math.max(limit, held);
    } else {
      if (now > nonceEnd - NONCE_REST) {
        stop(it._beside);
        act(does._anew);
        nonceEnd = NEVER;
      }
      nonceEnd = Math.min(nonceEnd, now + NONCE_END);
      limit = Math.min(limit, nonceEnd - now);
    }
    carrier._of = known;
    carrier._kind = known._kind;
    carrier._role = role;
    carrier._opens = !isOpen; // it started when there was no session yet
    carrier._since = now;
    carrier._limit = limit;
    carrier._lateAt = now + limit;
    // _verdictAt: a stream that is mute then is held back by something; _graceAt: HTTP was faster
    act(does._start, carrier);
    if (known._kind === STREAM && isOpen) act(does._test, carrier);
    due(carrier._lateAt);
    return carrier;
  }

  /** Makes `carrier` the newest; the one before goes on until that is attached. */
  function become(carrier) {
    stop(it._old);
    it._old = it._newest;
    it._newest = carrier;
  }

  function stop(carrier, how) {
    if (!carrier) return;
    act(does._stop, carrier, how);
    takeOut(carrier);
  }

  /** Takes a carrier out of its place. False if it had none, or that of the old one, whose end means nothing. */
  function takeOut(carrier) {
    if (carrier._over) return;
    carrier._over = true;
    if (carrier === it._old) {
      it._old = null;
      return;
    }
    if (carrier === it._newest) it._newest = null;
    else it._beside = null;
    return true;
  }

  function isOpening() {
    return it._beside && it._beside._role === OPEN;
  }

  /** What opens the session beside a carrier that is gone takes its place. */
  function promote() {
    if (!isOpening()) return;
    it._newest = it._beside;
    it._beside = null;
    it._newest._role = CARRY;
  }

  function end(reason, code) {
    if (!isOver) act(does._end, reason, code || 4411);
    isOver = true;
  }

  // -- what ends mean ------------------------------------------------------------------------------------------------------

  /** A poll was answered, or a carrier superseded. Returns whether the next one is to carry. */
  function ends(carrier, atLeast) {
    if (!takeOut(carrier) || carrier._role === PROBE) return;
    if (carrier._role === OPEN) grant(Math.max(now - carrier._since, atLeast));
    else {
      startAt = now;
      return true;
    }
  }

  function superseded(carrier) {
    // One that has opened the session was not to carry it.
    if (!ends(carrier, GRACE) || (carrier._opens && carrier._kind >= HELD)) return;
    if (livedWell(carrier)) timesSuperseded = 0;
    startAt += Math.min(doubled(SUPERSEDED, timesSuperseded++, LONGEST_PAUSE), it._lifetime / LONGEST);
  }

  function giveUp(carrier, how, isHeld) {
    stop(carrier, how);
    failed(carrier, how, isHeld);
  }

  /** A carrier that has left its place has failed. What holds one stream back holds them all. */
  function failed(carrier, how, isHeld) {
    var carries = !carrier._role, known = carrier._of;
    if (livedWell(carrier)) {
      ofUse();
      known._times = 0;
    } else {
      blame(known, how, isHeld);
      if (carries && !isHeld) {
        if (!known._failedAt) troubles++;
        known._failedAt = now;
      }
    }
    if (carries) {
      backOff();
      promote();
    } else if (carrier._attached) grant(now - carrier._since); // it has opened the session
  }

  /** HTTP has opened the session; the WebSocket, which is wanted more, has a little longer. */
  function grant(time) {
    if (it._newest && !it._newest._attached && isOpen) it._newest._graceAt = now + time;
  }

  /** When to start the next carrier: the first one at once, and while opening the first of each transport. */
  function backOff() {
    var list = allowed(), at = NEVER, i, rounds;
    began = NEVER;
    rounds = ++fails / (isOpen ? 1 : list.length) - (isOpen ? 2 : 1);
    for (i = 0; i < list.length; i++) at = Math.min(at, list[i]._notBefore);
    startAt = Math.max(now, at, rounds >= 0 && rounds % 1 === 0 ? now + backedOff(rounds) : 0);
  }

  function backedOff(failures) {
    return doubled(FIRST_PAUSE, failures, LONGEST_PAUSE) * (0.5 + jitter() / 2);
  }

  function lookBy(when) {
    upgradeAt = Math.min(upgradeAt, when);
  }

  function livedWell(carrier) {
    return carrier._attached && now - began >= GOOD_LIFE;
  }

  function gotThrough(carrier) {
    // How long a poll is held is no measure.
    if (carrier._kind !== HELD || carrier._opens) carrier._of._took = carrier._of._took || (now - carrier._since) / 1000;
  }

  // -- times ---------------------------------------------------------------------------------------------------------------

  /** How long an attempt may take to carry, or, of a transport, to get through beside the carrier in use. */
  function patience(whose) {
    return grown(rules.attachTimeout, whose._late);
  }

  /** `time`, doubled so many times, up to a share of what the session has left. */
  function grown(time, failures) {
    return Math.max(time, doubled(time, failures, isOpen ? (it._contact + it._lifetime - now) * SHARE : NEVER));
  }
}
