/**
 * Which carrier of a session to start, to try, to stop, and when: races, grace, back-off, probes, upgrades, falling back
 * (docs/negotiation.md). The twin of realtime/core/supervision.py and choice.py, with the same names, but for the
 * underscores of what the build shortens; tests/vectors/supervision.json holds both to the same histories.
 *
 * Pure: no clock, no chance, no timers. The shell tells what happens, calls _turn() after each event and when _deadline()
 * has come, and does what _turn() says, in order. Times are in milliseconds, and come first in each event. The actions:
 *
 *   ["start", id, transport, role]   role "carry": attach (or open) by it; it is the newest carrier now
 *                                    role "open": a second way to open the session; never takes over
 *                                    role "probe": try it beside the one in use; nothing of the session goes over it
 *   ["test", id]                     of a stream: send a POST beside it, and tell _tested() when that is answered
 *   ["stop", id]                     let go of it; whatever comes of it need not be told
 *   ["take", id]                     of a probe that was proven: attach by it; it is the newest carrier now
 *   ["renew", reason]                ask the application for other auth data, and tell _renewed()
 *   ["end", code, reason]            the session ends, or can't be opened
 */
import { DUPLEX, HELD, POLL, STREAM } from "./machine.js";
import { doubled } from "./time.js";

var GOOD_LIFE = 10000; // a carrier that lived so long was a good one: its end is no evidence
var GRACE = 500; // for a WebSocket that has reached the server, after HTTP had an answer
var HELD_AFTER = 500; // a stream is held back if it is mute twice as long as a POST took, and so much longer
var SUPERSEDED = 300; // the pause after the server had another carrier; doubled each time in a row
var ROUNDS = 2; // how often each transport fails before opening is given up; time-outs do not count
var SHARE = 0.25; // so much of what a session has left one attempt may take,
var LONGEST = 1 / 3; // and so much of its life any pause
var MANY = 6; // after so many POSTs in a row that failed another way up is looked for
var LOOK = 1000; // the shortest time between two looks for something better
var LATER_COUNTS = 5; // "come back later" counts like so many failures
var CROWDED = 1e12; // what needs another held request waits behind everything else
var MOST_TIMES = 64; // more failures in a row are not counted
var NOT_HERE = 4406;
var UNAUTHORISED = 4401;

/** What the application has set. Pairs: the first and the longest. */
var RULES = {
  _attachTimeout: 5000,
  _openTimeout: 30000,
  _raceDelay: 250,
  _backoff: [100, 10000],
  _upgradeInterval: [5000, 300000],
  _upgrade: true,
  _insists: false // nobody else would try again: see Rules in choice.py
};

function isLater(code) {
  return code === 4408 || code === 4429 || code === 4503;
}

// -- what is known of the transports -----------------------------------------------------------------------------------

/** `transports` are [name, kind], most wanted first. */
export function Choice(transports, rules) {
  var i;
  this._kinds = {}; // by name
  this._ranks = []; // names, most wanted first
  this._failures = {}; // by name: [times in a row, when last, how]
  this._ruledOut = {}; // by name: why it is out of the question
  this._attempts = {}; // what happened to each that failed last
  this._timings = {}; // how long each took to get through, the first time it did
  this._crowded = false; // the shell says so: see CROWDED
  this._failedAt = []; // [name, when] of carriers that failed since one was of use
  this._notBefore = {}; // somebody said when to come back
  this._least = rules._upgradeInterval[0];
  this._most = rules._upgradeInterval[1];
  for (i = 0; i < transports.length; i++) {
    this._ranks.push(transports[i][0]);
    this._kinds[transports[i][0]] = transports[i][1];
  }
}

Choice.prototype = {
  /** The server's order, most wanted first. The rest is out. */
  _rank: function (names) {
    var ranks = [], i;
    for (i = 0; i < names.length; i++) if (this._kinds[names[i]] !== undefined) ranks.push(names[i]);
    if (ranks.length) this._ranks = ranks;
  },

  /** A transport is out of the question: no evidence against it. Returns whether another one is left. */
  _ruleOut: function (name, why) {
    this._attempts[name] = this._ruledOut[name] = why || "refused";
    return this._allowed().length > 0;
  },

  /** Evidence against a transport; `carrier`: of what was to carry. What holds one stream back holds them all. */
  _failed: function (name, how, now, carrier, held) {
    var ranks = this._ranks, i;
    this._attempts[name] = how;
    this._count(name, how, now);
    if (held) {
      for (i = 0; i < ranks.length; i++) {
        if (this._kinds[ranks[i]] === STREAM && ranks[i] !== name) this._count(ranks[i], "another stream was held back", now);
      }
    } else if (carrier) {
      this._noFailure(name);
      this._failedAt.push([name, now]);
    }
  },

  _count: function (name, how, now) {
    this._failures[name] = [Math.min(this._times(name, now) + 1, MOST_TIMES), now, how];
  },

  /** How many failures in a row are remembered: each longest wait without a further one forgets one. */
  _times: function (name, now) {
    var failure = this._failures[name];
    return failure ? Math.max(failure[0] - Math.floor((now - failure[1]) / this._most), 0) : 0;
  },

  _worked: function (name) {
    delete this._failures[name];
  },

  _noFailure: function (name) {
    for (var i = this._failedAt.length; i--; ) if (this._failedAt[i][0] === name) this._failedAt.splice(i, 1);
  },

  _lastFailed: function (name) {
    for (var i = this._failedAt.length; i--; ) if (this._failedAt[i][0] === name) return this._failedAt[i][1];
    return -Infinity;
  },

  /** A transport is not to be tried before that: no evidence against it. */
  _comeBack: function (name, at) {
    this._notBefore[name] = at;
  },

  /** A carrier was of use. Returns whether transports are well again that were not: several failed with the network. */
  _ofUse: function () {
    var several = this._failedAt.length > 1, i;
    for (i = 0; several && i < this._failedAt.length; i++) this._worked(this._failedAt[i][0]);
    this._failedAt = [];
    return several;
  },

  /** What failed before says nothing about another network. */
  _forget: function () {
    this._failures = {};
    this._failedAt = [];
    this._notBefore = {};
  },

  /** Those that are not out of the question. */
  _allowed: function () {
    var allowed = [], i;
    for (i = 0; i < this._ranks.length; i++) if (!this._ruledOut[this._ranks[i]]) allowed.push(this._ranks[i]);
    return allowed;
  },

  /** When a transport is worth a try: `now` if it is well. */
  _retryAt: function (name, now) {
    var times = this._times(name, now), at = Math.max(now, this._notBefore[name] || 0);
    if (times) at = Math.max(at, this._failures[name][1] + doubled(this._least, times - 1, this._most));
    return this._crowded && (this._kinds[name] === STREAM || this._kinds[name] === HELD) ? at + CROWDED : at;
  },

  /** When the first of them may be tried by what was said of when to come back. */
  _backAt: function (now) {
    var allowed = this._allowed(), at = Infinity, i;
    for (i = 0; i < allowed.length; i++) at = Math.min(at, this._notBefore[allowed[i]] || now);
    return at < Infinity ? at : now;
  },

  /** The most wanted that is well; if none is, the one that will be soonest, of these the one that failed longest ago. */
  _next: function (now) {
    var allowed = this._allowed(), best = allowed[0], i, sooner;
    for (i = 1; i < allowed.length; i++) {
      sooner = this._retryAt(allowed[i], now) - this._retryAt(best, now);
      if (sooner < 0 || (!sooner && this._lastFailed(allowed[i]) < this._lastFailed(best))) best = allowed[i];
    }
    return best;
  },

  /** The most wanted of the polls that are well: what opens a session for others. Empty if there is none. */
  _opener: function (now) {
    var allowed = this._allowed(), i;
    for (i = 0; i < allowed.length; i++) {
      if (this._kinds[allowed[i]] >= HELD && this._retryAt(allowed[i], now) <= now) return allowed[i];
    }
    return "";
  },

  /** What a session would rather be carried by than `current`. `inDoubt`: all that brings up what goes up by itself. */
  _better: function (current, inDoubt) {
    var better = [], allowed = this._allowed(), kinds = this._kinds, i, kind, above = false;
    for (i = 0; i < this._ranks.length; i++) above = above || this._ranks[i] === current;
    for (i = 0; i < allowed.length; i++) {
      kind = kinds[allowed[i]];
      if (inDoubt) {
        if (kind === DUPLEX || kind === POLL) better.push(allowed[i]);
      } else if (above && this._isAbove(allowed[i], current) && !(kind === STREAM && kinds[current] === STREAM)) {
        better.push(allowed[i]); // from one stream to another nothing is won
      }
    }
    return better;
  },

  _isAbove: function (name, current) {
    for (var i = 0; this._ranks[i] !== current; i++) if (this._ranks[i] === name) return true;
    return false;
  }
};

// -- the choice of carriers ----------------------------------------------------------------------------------------------

/** For one session. `rules`: those that differ from RULES. `jitter` gives numbers from 0 to below 1. */
export function Supervision(transports, rules, jitter, now) {
  var name;
  this._rules = {};
  for (name in RULES) this._rules[name] = rules[name] === undefined ? RULES[name] : rules[name];
  this._choice = new Choice(transports, this._rules);
  // What the shell sets, before a turn.
  this._contact = now; // when anything came last
  this._waits = false; // nothing is to be started now
  this._calm = false; // the session is open and not about to end: a time to look for something better
  // What the shell may read.
  this._current = ""; // the transport that carries, or did last
  this._postAt = 0; // no POST before that
  this._isOpen = false; // there is a session
  this._isOver = false;
  // What the server announced: see _opened().
  this._lifetime = this._rules._openTimeout;
  this._held = 0;
  this._pollInterval = [0, 0];
  // Carriers: {_id, _name, _kind, _role, _opens, _since, _limit, _lateAt, _verdictAt, _attached}; role as in the actions,
  // or "old".
  this._newest = null; // the one that is to carry; between two polls there is none
  this._old = null; // the one before, until the newest is attached
  this._beside = null; // a probe, or a second way of opening
  this._count = 0;
  this._goesOn = ""; // with that transport: the next poll, a recycled stream
  this._began = null; // when the newest, or its run of polls, began to carry
  this._pause = 0; // between two plain polls
  this._raced = this._inDoubt = this._renewing = this._hasRenewed = false;
  // In a row.
  this._fails = 0; // of carriers; forgotten when something was delivered, or after a good life
  this._postsFailed = 0; // forgotten when what goes up has got through
  this._postsSince = 0;
  this._openingFailed = this._timesSuperseded = 0;
  this._late = {}; // time-outs: of carriers (" "), and by transport of probes
  // When what is due.
  this._openBy = now + this._rules._openTimeout;
  this._startAt = now;
  this._graceAt = this._upgradeAt = Infinity;
  this._nextAt = now;
  this._actions = [];
  this._jitter = jitter;
}

Supervision.prototype = {
  /** What is to be done now, in this order. May be called at any time. */
  _turn: function (now) {
    var actions;
    this._nextAt = Infinity;
    if (!this._isOver) this._watch(now);
    if (!this._isOver) {
      if (!this._newest && !this._waits && !this._renewing && this._due(this._startAt, now)) {
        this._start(this._goesOn || this._choice._next(now), now);
      }
      this._race(now);
      this._tryBetter(now);
    }
    actions = this._actions;
    this._actions = [];
    return actions;
  },

  /** When _turn() is to be called if nothing happens before; Infinity for never. */
  _deadline: function () {
    return this._isOver ? Infinity : this._nextAt;
  },

  /** Whether it is time; if not, _deadline() knows of it. */
  _due: function (when, now) {
    if (when > now) this._nextAt = Math.min(this._nextAt, when);
    return when <= now;
  },

  /** What was started and is late, or held back; opening as a whole; a life that has become a good one. */
  _watch: function (now) {
    var carriers = [this._newest, this._beside], i, carrier;
    if (!this._isOpen && this._due(this._openBy, now)) this._end(4411, "no transport got through in time");
    for (i = 0; i < 2; i++) {
      carrier = carriers[i];
      if (!carrier || carrier._attached || this._isOver) continue;
      if (this._due(carrier._verdictAt, now)) this._giveUp(carrier, now, "held back by something in between", false, true);
      else if (carrier === this._newest && this._due(this._graceAt, now)) this._giveUp(carrier, now, "no answer while HTTP had one");
      else if (this._due(carrier._lateAt, now)) {
        this._giveUp(carrier, now, carrier._kind === STREAM ? "no data in time: held back, or mute" : "no answer in time", true);
      }
    }
    if (this._began !== null && this._choice._failedAt.length && this._due(this._began + GOOD_LIFE, now)) this._ofUse(now);
  },

  /** HTTP opens the session beside a WebSocket that takes its time: whichever wins. */
  _race: function (now) {
    var newest = this._newest, name;
    if (!newest || newest._kind !== DUPLEX || this._isOpen || this._raced || this._beside) return;
    if (this._due(newest._since + this._rules._raceDelay, now)) {
      this._raced = true;
      name = this._choice._opener(now);
      if (name) this._beside = this._begin(name, "open", now);
    }
  },

  /** While a lesser transport carries the session in peace, tries the better ones beside it. */
  _tryBetter: function (now) {
    var newest = this._newest, better, soonest = Infinity, first, i, at;
    if (!this._isOpen || this._beside || !(this._inDoubt || (this._calm && this._rules._upgrade))) return;
    if (!(newest ? newest._name === this._current && (newest._attached || newest._kind >= HELD) : this._current && this._goesOn === this._current)) return;
    if (!this._due(this._upgradeAt, now)) return;
    better = this._choice._better(this._current, this._inDoubt);
    for (i = 0; i < better.length; i++) {
      at = this._choice._retryAt(better[i], now);
      soonest = Math.min(soonest, at);
      if (at <= now) first = first || better[i];
    }
    this._upgradeAt = now + Math.max(soonest - now, this._look()) * (1 + this._jitter() / 4);
    if (first) this._beside = this._begin(first, "probe", now);
    else this._due(this._upgradeAt, now);
  },

  // -- starting and stopping -------------------------------------------------------------------------------------------

  /** Makes transport `name` carry the session from now on. */
  _start: function (name, now) {
    var kinds = this._choice._kinds;
    // A session is opened by a poll where there is one, so that the stream can be tested against a POST.
    if (!this._isOpen && kinds[name] === STREAM) name = this._choice._opener(now) || name;
    if (!(this._goesOn && kinds[name] >= HELD)) this._began = null;
    this._goesOn = "";
    this._stop(this._old);
    this._become(this._begin(name, "carry", now));
  },

  _begin: function (name, role, now) {
    var kind = this._choice._kinds[name], opens = !this._isOpen, limit = this._patience(now, role === "probe" ? name : " ");
    if (kind === HELD && role === "carry" && !opens) limit = Math.max(limit, this._held);
    var carrier = {
      _id: ++this._count,
      _name: name,
      _kind: kind,
      _role: role,
      _opens: opens, // it started when there was no session yet
      _since: now,
      _limit: limit,
      _lateAt: now + limit,
      _verdictAt: Infinity, // a stream that is mute then is held back by something
      _attached: false
    };
    this._actions.push(["start", carrier._id, name, role]);
    if (kind === STREAM && !opens) this._actions.push(["test", carrier._id]);
    this._due(carrier._lateAt, now);
    return carrier;
  },

  /** Makes `carrier` the newest; the one before goes on until that is attached. */
  _become: function (carrier) {
    this._stop(this._old);
    this._old = this._newest;
    this._newest = carrier;
    if (this._old) this._old._role = "old";
    this._graceAt = Infinity;
  },

  _stop: function (carrier) {
    if (!carrier) return;
    this._actions.push(["stop", carrier._id]);
    this._out(carrier._id);
  },

  _find: function (id) {
    var carriers = [this._newest, this._old, this._beside], i;
    for (i = 0; i < 3 && !this._isOver; i++) if (carriers[i] && carriers[i]._id === id) return carriers[i];
    return null;
  },

  /** Takes a carrier out of its place. Null if it had none, or that of the old one, whose end means nothing. */
  _out: function (id) {
    var carrier = this._find(id);
    if (carrier && carrier === this._old) this._old = carrier = null;
    else if (carrier && carrier === this._newest) {
      this._newest = null;
      this._graceAt = Infinity;
    } else if (carrier) this._beside = null;
    return carrier;
  },

  /** What opens the session beside a carrier that is gone takes its place. */
  _promote: function () {
    if (!this._beside || this._beside._role !== "open") return false;
    this._newest = this._beside;
    this._beside = null;
    this._newest._role = "carry";
    return true;
  },

  _end: function (code, reason) {
    this._actions.push(["end", code, reason]);
    this._isOver = true;
  },

  // -- events: what a carrier tells --------------------------------------------------------------------------------------

  /** There is a session; _attached() follows. How long it outlives the last contact, how long a held poll may take, and
   * the bounds of the pause between two plain polls. */
  _opened: function (now, lifetime, held, pollInterval) {
    if (!this._isOpen) {
      this._isOpen = true;
      this._fails = 0;
    }
    this._contact = now;
    this._lifetime = lifetime;
    this._held = held;
    this._pollInterval = pollInterval;
    this._pause = pollInterval[0];
  },

  /** A carrier has taken up the session (its `o` or `r` has come). */
  _attached: function (now, id) {
    var carrier = this._find(id);
    if (!carrier || carrier._attached) return;
    carrier._attached = true;
    this._gotThrough(carrier, now);
    if (carrier === this._newest) {
      delete this._late[" "];
      this._graceAt = Infinity;
      this._hasRenewed = false;
      if (this._began === null) this._began = now;
      if (carrier._kind === DUPLEX || carrier._kind === POLL) this._postAnswered(now);
      this._stop(this._old);
      if (this._beside && this._beside._role === "open") this._stop(this._beside);
    } else if (carrier === this._old || this._current) return;
    if (carrier._name !== this._current) {
      this._current = carrier._name;
      this._inDoubt = false;
      this._upgradeAt = Math.min(this._upgradeAt, now + this._look());
    }
  },

  /** A part of a poll's answer has come that says nothing yet. */
  _alive: function (now, id) {
    var carrier = this._find(id);
    if (carrier && carrier._kind >= HELD) carrier._lateAt = now + carrier._limit;
  },

  /** The POST that tests a stream was answered after so long. */
  _tested: function (now, id, took) {
    var carrier = this._find(id);
    if (carrier) carrier._verdictAt = now + 2 * took + HELD_AFTER;
  },

  /** A probe was answered: the session moves to its transport. */
  _proven: function (now, id) {
    var carrier = this._find(id);
    if (!carrier || carrier._role !== "probe") return;
    this._gotThrough(carrier, now);
    delete this._late[carrier._name];
    this._goesOn = "";
    if (carrier._kind === DUPLEX) {
      this._beside = this._began = null;
      carrier._role = "carry";
      carrier._lateAt = now + this._patience(now, " ");
      this._become(carrier);
      this._actions.push(["take", id]);
    } else {
      this._stop(carrier);
      this._start(carrier._name, now);
    }
  },

  /** A poll was answered whole. `news`: it brought a message, or took one along. */
  _answered: function (now, id, news) {
    var carrier = this._out(id), bounds = this._pollInterval;
    if (!carrier || carrier._role === "probe") return;
    if (carrier._role === "open") {
      this._grant(now, now - carrier._since);
      return;
    }
    this._startAt = now;
    this._goesOn = carrier._opens ? "" : carrier._name; // one that opens was only to open
    if (carrier._kind === POLL && this._goesOn) {
      this._pause = news ? bounds[0] : Math.min(Math.max(this._pause, bounds[0]) * 2, bounds[1]);
      this._startAt += this._pause;
    }
  },

  /** The server has another carrier than this one. */
  _superseded: function (now, id) {
    var carrier = this._out(id);
    if (!carrier || carrier._role === "probe") return;
    if (carrier._role === "open") {
      this._grant(now, Math.max(now - carrier._since, GRACE));
      return;
    }
    this._startAt = now;
    if (carrier._opens && carrier._kind >= HELD) return; // it has opened the session, and was not to carry it
    if (this._livedWell(carrier, now)) this._timesSuperseded = 0;
    this._startAt += Math.min(doubled(SUPERSEDED, this._timesSuperseded++, this._rules._backoff[1]), this._longest());
  },

  /** A carrier was ended on purpose, to start again: at once if it was of use, else as after a failure. */
  _recycled: function (now, id) {
    var carrier = this._out(id);
    if (!carrier || carrier._role !== "carry") return;
    if (this._livedWell(carrier, now)) this._ofUse(now);
    this._began = null;
    this._fails++;
    this._goesOn = carrier._name;
    this._backOff(now);
  },

  /** A carrier has failed, or was cut. `wait`: an answer had a Retry-After. */
  _lost: function (now, id, how, wait) {
    var carrier = this._out(id);
    if (!carrier) return;
    if (wait) this._choice._comeBack(carrier._name, now + Math.min(wait, this._longest()));
    this._failed(carrier, now, how);
  },

  /** The server has refused a carrier, without prejudice to the session (docs/protocol.md §9). */
  _refused: function (now, id, code, reason, wait) {
    var carrier = this._find(id), insists = this._isOpen || this._rules._insists, carries;
    if (carrier && carrier._opens && this._isOpen && !carrier._attached) {
      this._superseded(now, id); // an open that comes late: another carrier has opened the session
      return;
    }
    if (!this._out(id)) return;
    carries = carrier._role === "carry";
    this._choice._attempts[carrier._name] = reason;
    if (carries) {
      this._began = null;
      this._startAt = now;
      this._promote();
    }
    if (code === UNAUTHORISED && insists && !this._hasRenewed) {
      this._hasRenewed = this._renewing = true;
      this._actions.push(["renew", reason]);
    } else if (isLater(code) && insists) {
      wait = Math.min(wait || 0, this._longest());
      if (carries) {
        this._fails = Math.max(this._fails + 1, LATER_COUNTS);
        this._startAt += Math.max(this._backedOff(this._fails - 2), wait);
      } else this._choice._comeBack(carrier._name, now + Math.max(wait, this._rules._backoff[1]));
    } else if (code === UNAUTHORISED || (code !== NOT_HERE && !this._isOpen)) {
      this._end(code, reason); // the server does not want this client; another transport would not help
    } else if (!this._choice._ruleOut(carrier._name, reason)) this._end(code, reason);
  },

  // -- events: everything else -------------------------------------------------------------------------------------------

  /** The newest carrier has brought a message, or (`up`) word of one: so what failed before is forgotten. */
  _delivered: function (now, up) {
    this._ofUse(now);
    if (up) this._postsFailed = 0;
  },

  /** There is something to send: between two plain polls the next one need not wait. */
  _news: function (now) {
    if (!this._newest && this._choice._kinds[this._goesOn] === POLL) this._startAt = Math.min(this._startAt, now);
  },

  /** A POST beside the carrier was lost or refused. */
  _postFailed: function (now, how, wait) {
    var names = this._choice._allowed(), givesUp, i;
    if (this._isOver) return;
    if (!this._postsFailed) this._postsSince = now;
    this._postsFailed++;
    givesUp = this._postsSince + this._lifetime;
    if (now >= givesUp) {
      this._end(4411, "nothing that is sent gets through: " + how);
      return;
    }
    this._postAt = Math.min(now + Math.max(this._backedOff(this._postsFailed - 1), wait || 0), givesUp);
    if (this._postsFailed % MANY) return;
    this._inDoubt = true;
    this._upgradeAt = now;
    for (i = 0; i < names.length; i++) {
      if (this._choice._kinds[names[i]] === STREAM || this._choice._kinds[names[i]] === HELD) {
        this._choice._failed(names[i], "what is sent beside it does not get through: " + how, now);
      }
    }
  },

  /** What goes up has got through. */
  _postAnswered: function () {
    this._postsFailed = 0;
    this._inDoubt = false;
  },

  /** The server was given other auth data. */
  _renewed: function () {
    this._renewing = false;
  },

  /** The network is back, or the machine has slept. `another`: it is another one, of which what failed says nothing. */
  _online: function (now, another) {
    var newest = this._newest;
    if (this._isOver) return;
    this._fails = this._timesSuperseded = 0;
    this._postAt = Math.min(this._postAt, now);
    if (another) {
      this._choice._forget();
      this._late = {};
      this._upgradeAt = Math.min(this._upgradeAt, now);
    }
    if (!newest) this._startAt = Math.min(this._startAt, now);
    else if (this._isOpen && (newest._attached || newest._kind === HELD)) this._start(newest._name, now); // it tells
  },

  /** The shell has let go of every carrier, and wants to start afresh (a page that was put away). */
  _dropped: function (now) {
    this._newest = this._old = this._beside = this._began = null;
    this._goesOn = "";
    this._graceAt = Infinity;
    this._fails = 0;
    this._startAt = now;
  },

  /** The session has ended. The shell lets go of every carrier. */
  _over: function () {
    this._isOver = true;
    this._actions = [];
  },

  // -- what failures mean ------------------------------------------------------------------------------------------------

  _giveUp: function (carrier, now, how, late, held) {
    var key = carrier._role === "probe" ? carrier._name : " ";
    this._stop(carrier);
    if (late) this._late[key] = (this._late[key] || 0) + 1;
    this._failed(carrier, now, how, late, held);
  },

  /** A carrier that has left its place has failed. */
  _failed: function (carrier, now, how, late, held) {
    var carries = carrier._role === "carry", choice = this._choice;
    if (carries && this._livedWell(carrier, now)) {
      this._ofUse(now);
      choice._attempts[carrier._name] = how;
      choice._worked(carrier._name);
    } else choice._failed(carrier._name, how, now, carries, held);
    if (!carries) {
      if (carrier._attached) this._grant(now, now - carrier._since); // it has opened the session
      return;
    }
    this._began = null;
    this._fails++;
    this._backOff(now);
    if (this._promote() || this._isOpen || this._rules._insists || late) return;
    if (++this._openingFailed >= ROUNDS * choice._allowed().length) {
      this._end(4411, "no transport got through: " + carrier._name + ": " + how);
    }
  },

  /** HTTP has opened the session; the WebSocket, which is wanted more, has a little longer. */
  _grant: function (now, time) {
    if (this._newest && !this._newest._attached && this._isOpen) this._graceAt = now + time;
  },

  /** When to start the next carrier: the first one at once, and while opening the first of each transport. */
  _backOff: function (now) {
    var every = this._isOpen ? 1 : Math.max(this._choice._allowed().length, 1);
    var times = Math.floor(this._fails / every) - (this._isOpen ? 2 : 1);
    this._startAt = Math.max(now, this._choice._backAt(now));
    if (this._fails % every === 0 && times >= 0) this._startAt = Math.max(this._startAt, now + this._backedOff(times));
  },

  _backedOff: function (times) {
    return doubled(this._rules._backoff[0], times, this._rules._backoff[1]) * (0.5 + this._jitter() / 2);
  },

  _ofUse: function (now) {
    this._fails = 0;
    if (this._choice._ofUse()) this._upgradeAt = Math.min(this._upgradeAt, now + this._look());
  },

  _livedWell: function (carrier, now) {
    return carrier._attached && this._began !== null && now - this._began >= GOOD_LIFE;
  },

  _gotThrough: function (carrier, now) {
    var timings = this._choice._timings, name = carrier._name;
    // How long a poll is held is no measure.
    if (timings[name] === undefined && (carrier._kind !== HELD || carrier._opens)) timings[name] = now - carrier._since;
  },

  // -- times -------------------------------------------------------------------------------------------------------------

  /** How long an attempt may take to carry (" "), or, by `name`, to get through beside the carrier in use. */
  _patience: function (now, name) {
    var least = this._rules._attachTimeout, grown = doubled(least, this._late[name] || 0, Infinity);
    if (this._isOpen) grown = Math.min(grown, (this._contact + this._lifetime - now) * SHARE);
    return Math.max(least, grown);
  },

  _look: function () {
    return Math.min(this._rules._upgradeInterval[0] / 5, LOOK);
  },

  _longest: function () {
    return this._lifetime * LONGEST;
  }
};
