/**
 * Which transport carries a session: opening, falling back, upgrading, resuming, and what is learnt from failures.
 *
 * Everything that is due by time or by state is done in one place, _turn(), which may be called at any moment and sets
 * one timer for what comes next. So a page that slept, or whose timers are slow, catches up by itself.
 */
import { Carrier } from "./carrier.js";
import { Health } from "./health.js";
import { DUPLEX, HELD, Machine, POLL, STREAM } from "./machine.js";
import { random } from "./random.js";

var GRACE = 500; // for a WebSocket that has reached the server, when HTTP was faster
var GOOD_LIFE = 10000; // a carrier that lived so long was a good one: its end is no evidence
var MOST_HELD = 3; // requests held open in one page for one origin; browsers allow six connections
var BACKOFF = [100, 10000];
var ROUNDS = 2; // how often each transport is tried before opening is given up

var held = {}; // origin -> sessions of this page that hold a request

function clock() {
  return new Date().getTime();
}

/**
 * Drives one session. `owner` hears: _transportIs(name, reason), _stateIs(state), _message(data), _drops(count),
 * _acked(count), _progress(), _negotiated(list), _closed(code, reason, clean, delay). `base` is the address of the endpoint.
 */
export function Driver(owner, base, transports, options) {
  var origin = /^\w+:\/\/[^\/]*/.exec(base)[0], i;
  this._owner = owner;
  this._options = options;
  this._base = base + "/v1/";
  this._origin = origin;
  this._cross = typeof location !== "undefined" && location.protocol + "//" + location.host !== origin;
  this._transports = []; // what this engine can run, best first
  this._words = {}; // name -> why a transport is out of the question
  this._timings = {};
  for (i = 0; i < transports.length; i++) {
    if (transports[i].usable(this._cross)) this._transports.push(transports[i]);
    else this._words[transports[i].name] = "this browser can't run it here";
  }
  this._ranks = []; // the server's list
  this._machine = new Machine(this, random());
  this._health = new Health(origin);
  this._carrier = null; // the newest
  this._old = null; // the one before, read until the newest is attached
  this._beside = null; // a second way of opening, or a probe
  this._posting = null; // the uplink batch in flight
  this._postAt = this._retryAt = this._graceAt = 0;
  this._upgradeAt = this._closeAt = this._checkAt = Infinity;
  this._next = null; // the transport to go on with: the next poll, a recycled stream
  this._pause = 0; // between plain polls
  this._fails = this._postFails = this._superseded = 0; // in a row
  this._streak = {}; // what failed since a carrier carried last
  this._name = ""; // the transport that carries
  this._delay = 0; // the wish of a server that goes away: come back within so many seconds
  this._contact = clock();
  this._authorise();
}

Driver.prototype = {
  // -- what the application asks -------------------------------------------------------------------------------------

  _send: function (data, size) {
    var carrier = this._carrier;
    this._machine._send(data, size);
    if (carrier && carrier._attached && carrier.kind === DUPLEX) this._flush(carrier);
    else {
      if (this._next && this._next.kind === POLL) this._retryAt = 0; // no pause while there is something to say
      this._turn();
    }
  },

  _close: function (code, reason) {
    this._machine._close(code, reason);
    this._closeAt = clock() + this._lifetime();
    this._set("closing");
    this._turn();
  },

  _maxSize: function () {
    return this._machine._server ? this._machine._server.max_size : Infinity;
  },

  /** Bytes that were not handed to the network. */
  _buffered: function () {
    var machine = this._machine, carrier = this._carrier, size = 0, i, first = machine._acked;
    if (carrier && carrier.kind === DUPLEX && carrier._ready) {
      size = carrier._link.waiting();
      first = carrier._up - 1;
    }
    for (i = Math.max(first - machine._taken, 0); i < machine._out.length; i++) size += machine._out[i]._size;
    return size;
  },

  // -- what happens to the page --------------------------------------------------------------------------------------

  /** The page is put away, and may come back: nothing is said, and nothing is kept open. */
  _park: function () {
    this._parked = true;
    this._drop();
    clearTimeout(this._timer);
  },

  _unpark: function () {
    this._parked = false;
    this._retryAt = this._fails = 0;
    this._turn();
  },

  /** The page goes for good: the session is closed, by a beacon where no WebSocket can. */
  _leave: function () {
    var machine = this._machine, carrier = this._carrier, frames;
    if (machine._over || this._parked) return;
    if (!machine._closing) machine._close(1001, "");
    if (machine._sid) {
      if (carrier && carrier._attached && carrier.kind === DUPLEX) {
        this._flush(carrier);
        if (machine._unsent()) this._write(carrier, ["x1001,session,,"]);
      } else if (typeof navigator !== "undefined" && navigator.sendBeacon) {
        frames = [machine._head()].concat(machine._batch(machine._acked + 1));
        if (machine._unsent() || JSON.stringify(frames).length > 6e4) frames = [frames[0], "x1001,session,,"];
        navigator.sendBeacon(this._base + "send", JSON.stringify(frames));
      }
    }
    machine._end(1001, "the page was left", false);
  },

  /** Another network, or the page has slept: what failed before says nothing, and what seems to live may be dead. */
  _check: function (another) {
    var carrier = this._carrier, now = clock();
    if (another) {
      this._health._forget();
      this._upgradeAt = Math.min(this._upgradeAt, now);
    }
    this._fails = 0;
    if (!carrier) this._retryAt = Math.min(this._retryAt, now);
    else if (carrier._attached && carrier.kind === DUPLEX) {
      this._write(carrier, ["p"]);
      this._checkAt = now + this._patience();
    } else if (carrier._attached || carrier.kind === HELD) {
      this._start(carrier._transport); // attaching again costs little, and tells
    }
    this._turn();
  },

  _set: function (state) {
    if (state === this._state) return;
    this._state = state;
    this._owner._stateIs(state);
  },

  // -- carriers ------------------------------------------------------------------------------------------------------

  _patience: function () {
    return this._options.attachTimeout || 5000;
  },

  /** The settings of liveness, in milliseconds: the server's. Infinity for what does not happen. */
  _interval: function () {
    var server = this._machine._server;
    return server && server.ping_interval ? server.ping_interval * 1000 : Infinity;
  },

  _silence: function () {
    var server = this._machine._server;
    return server && server.ping_timeout ? this._interval() + server.ping_timeout * 1000 : Infinity;
  },

  /** How long a session outlives the last contact. */
  _lifetime: function () {
    var server = this._machine._server, silence = this._silence();
    return server ? server.resume_window * 1000 + (silence < Infinity ? silence : 0) : 120000;
  },

  /** Makes a carrier of a transport and starts it with its first frame, a probe's or the one that `first` is given. */
  _launch: function (transport, isBeside, first) {
    var carrier = new Carrier(this, transport, this._cross), frame;
    carrier._since = carrier._heard = clock();
    carrier._opens = !this._machine._sid;
    carrier._from = this._machine._received;
    if (isBeside) this._beside = carrier;
    else this._carrier = carrier;
    frame = first(carrier);
    carrier._probes = frame === "p";
    carrier.secret = carrier._opens && this._auth !== undefined;
    carrier._limit = this._patience();
    if (carrier.kind === HELD && !carrier._opens) {
      carrier._limit = Math.max(carrier._limit, Math.min(this._silence(), 2 * Math.min(this._interval(), 25000)));
    }
    // Beside a stream goes a POST: when it is answered and the stream is mute, something holds the stream back.
    carrier._judged = transport.kind === STREAM && !carrier._opens;
    this._hold(transport.kind === STREAM || transport.kind === HELD);
    try {
      carrier._link = transport.open(carrier, this._base + transport.name, frame);
    } catch (error) {
      carrier.end("it can't be started: " + (error.message || error));
    }
    return carrier;
  },

  /** Makes a carrier of `transport` the newest one. */
  _start: function (transport) {
    var self = this, machine = this._machine, polls, i;
    this._next = null;
    if (!machine._sid && transport.kind === STREAM) {
      // A session is opened by a poll where there is one, so that the stream can be judged against a POST.
      polls = this._polls();
      for (i = 0; i < polls.length; i++) if (this._health._retryAt(polls[i].name, clock()) <= clock()) {
        transport = polls[i];
        break;
      }
    }
    if (this._carrier) {
      this._stop(this._old);
      this._old = this._carrier;
    }
    // A WebSocket leaves the lower gen to the poll that may open beside it, and so is the one that stays.
    if (!machine._sid && transport.kind === DUPLEX) machine._gen++;
    this._launch(transport, false, function (carrier) {
      return machine._start(carrier, self._openFields());
    });
  },

  _openFields: function () {
    var fields = { transports: [], failed: {}, tried: {} }, now = clock(), i, name, failure;
    for (i = 0; i < this._transports.length; i++) {
      name = this._transports[i].name;
      fields.transports.push(name);
      failure = this._health._failure(name, now);
      if (failure) fields.failed[name] = [failure[2], (now - failure[1]) / 1000];
      if (this._timings[name]) fields.tried[name] = this._timings[name];
    }
    if (this._auth !== undefined) fields.auth = this._auth;
    return fields;
  },

  _polls: function () {
    var polls = [], i, transport;
    for (i = 0; i < this._transports.length; i++) {
      transport = this._transports[i];
      if (transport.kind >= HELD && !this._words[transport.name]) polls.push(transport);
    }
    return polls;
  },

  /** Keeps the page's account of held requests. */
  _hold: function (holds) {
    if (holds === !!this._holds) return;
    this._holds = holds;
    held[this._origin] = (held[this._origin] || 0) + (holds ? 1 : -1);
  },

  /** The best transport that is allowed and well; if none is, the one that will be soonest. */
  _choose: function () {
    var now = clock(), best = null, bestAt = Infinity, i, transport, at;
    var crowded = !this._holds && held[this._origin] >= MOST_HELD;
    for (i = 0; i < this._transports.length; i++) {
      transport = this._transports[i];
      if (this._words[transport.name]) continue;
      at = this._health._retryAt(transport.name, now);
      if (crowded && (transport.kind === STREAM || transport.kind === HELD)) at += 1e12;
      if (at <= now) return transport;
      if (at < bestAt) {
        best = transport;
        bestAt = at;
      }
    }
    return best;
  },

  /** Lets go of a carrier, whatever it might still bring. */
  _stop: function (carrier) {
    if (!carrier || carrier._over) return;
    carrier._over = true;
    if (carrier._link) carrier._link.stop();
  },

  /** Lets go of everything that is under way. */
  _drop: function () {
    this._stop(this._carrier);
    this._stop(this._old);
    this._stop(this._beside);
    this._stop(this._posting);
    if (this._posting) this._machine._unannounced();
    this._carrier = this._old = this._beside = this._posting = null;
    this._hold(false);
  },

  _write: function (carrier, frames) {
    try {
      if (frames.length) carrier._link.write(frames);
    } catch (error) {
      carrier.end("it can't be written on: " + error.message);
    }
  },

  _flush: function (carrier) {
    var now = clock();
    if (!carrier._ready || carrier._over) return;
    this._write(carrier, this._machine._flush(carrier, now));
    this._owner._progress();
  },

  /** What a poll brings up: everything beside a plain one, the first messages with an open. */
  _pollMessages: function (carrier) {
    var frames = [];
    if (!this._posting && (carrier.kind === POLL || carrier._opens)) frames = this._machine._batch(carrier._up);
    carrier._brings = frames.length;
    return frames;
  },

  // -- what carriers tell ----------------------------------------------------------------------------------------------

  /** Frames have come on a carrier, or in the answer to a POST. */
  _frames: function (carrier, frames) {
    var machine = this._machine, now = clock(), plain = true, i, frame, type;
    if (carrier._over || machine._over) return;
    carrier._heard = this._contact = now;
    carrier._pinged = false;
    if (carrier === this._carrier) this._checkAt = Infinity;
    for (i = 0; i < frames.length && !carrier._over && !machine._over; i++) {
      frame = frames[i];
      type = typeof frame === "string" ? frame.charAt(0) : "b";
      if (type !== "m" && type !== "b") plain = false;
      if (type === "e") carrier._last = frame.slice(1);
      else if (type === "q" && carrier._probes) this._gotThrough(carrier);
      else {
        try {
          this._write(carrier, machine._receive(carrier, frame, now));
        } catch (code) {
          if (typeof code !== "number") throw code;
          this._fail(code);
        }
      }
    }
    // A duplex carrier has no end of a batch; elsewhere it is the transport that tells.
    if (carrier._last && !carrier._over && carrier.kind <= STREAM) carrier.end("");
    else if (!plain || carrier.kind !== DUPLEX || machine._ackDue(1000) < this._dueAt) this._turn();
  },

  /** The peer broke the protocol: it is told, and the session ends. */
  _fail: function (code) {
    var machine = this._machine, carrier = this._carrier, frame = "x" + code + ",session," + machine._received + ",";
    if (machine._over) return;
    if (carrier && carrier._ready && carrier._attached) this._write(carrier, [frame]);
    else if (machine._sid) this._say([machine._head(), frame]);
    machine._end(code, "the server broke the protocol", false);
  },

  /** The machine: `o` came on a carrier, with what the server says of itself. */
  _opened: function (carrier, server) {
    var known = {}, ranked = [], i, name;
    for (i = 0; i < this._transports.length; i++) known[this._transports[i].name] = this._transports[i];
    this._ranks = server.transports;
    for (i = 0; i < this._ranks.length; i++) {
      name = this._ranks[i].name;
      if (this._ranks[i].verdict === "refused") this._words[name] = this._words[name] || this._ranks[i].reason;
      else if (known[name]) ranked.push(known[name]);
    }
    if (ranked.length) this._transports = ranked;
    this._pause = server.poll_interval[0] * 1000;
    if (!this._name) this._carries(carrier);
    if (carrier === this._carrier) this._attached(carrier);
  },

  /** The machine: a carrier has taken up the session. */
  _attached: function (carrier) {
    var name = carrier._transport.name, now = clock(), other;
    if (carrier !== this._carrier || carrier._attached) {
      carrier._attached = true;
      return;
    }
    carrier._attached = true;
    this._timings[name] = this._timings[name] || (now - carrier._since) / 1000;
    this._fails = 0;
    this._graceAt = 0;
    // What fails together with the transport that works now was the network.
    if (this._streak[name]) for (other in this._streak) this._health._forget(other);
    this._streak = {};
    this._renewed = false;
    this._stop(this._old);
    this._old = null;
    this._carries(carrier);
    if (!this._machine._closing) this._set(this._machine._held ? "draining" : "open");
  },

  _carries: function (carrier) {
    if (this._name === carrier._transport.name) return;
    this._name = carrier._transport.name;
    this._kind = carrier.kind;
    this._upgradeAt = Math.min(this._upgradeAt, clock() + 1000);
    this._negotiate();
    this._owner._transportIs(this._name, this._why || "");
  },

  /** The machine: this request was refused, and the session goes on. Code 0: no matter. */
  _refused: function (carrier, code, reason) {
    var name = carrier._transport.name, opens = !this._machine._sid;
    if (!code) carrier._last = "superseded";
    else if (code === 4406 && name) this._words[name] = reason;
    else if (code === 4401 && typeof this._options.auth === "function" && !this._renewed) this._renewed = this._asking = true;
    else if (code !== 4429 && code !== 4503 && code !== 4408) {
      this._machine._end(code, reason, false);
      return;
    }
    carrier._refusal = code;
    carrier.end(reason);
    if (code === 4406 && opens && !this._choose()) this._machine._end(code, reason, false);
    if (code === 4401) this._authorise();
  },

  _gotThrough: function (probe) {
    var machine = this._machine;
    this._beside = null;
    this._why = "it got through";
    if (probe.kind === DUPLEX) {
      this._old = this._carrier;
      this._carrier = probe;
      probe._probes = false;
      probe._since = clock();
      this._hold(false);
      this._write(probe, [machine._start(probe)]);
    } else {
      probe._over = true;
      probe._link.stop();
      this._start(probe._transport);
    }
  },

  /** A carrier has ended; `how` in words, or "" for on purpose. The one place where carriers end. */
  _ended: function (carrier, how) {
    var now = clock(), machine = this._machine, name, good;
    if (carrier._over) return;
    carrier._over = true;
    if (carrier._link) carrier._link.stop();
    if (machine._over) return;
    name = carrier._transport.name;
    good = carrier._attached && now - carrier._since >= GOOD_LIFE;
    if (carrier === this._old) this._old = null;
    else if (carrier === this._beside) {
      this._beside = null;
      if (carrier._probes) this._failed(carrier, how);
      else if (!machine._sid) this._failed(carrier, how);
      else if (this._carrier && !this._carrier._attached) {
        // HTTP has opened the session. If the WebSocket has reached the server as well it is the better one.
        this._graceAt = carrier._last ? now + GRACE : now;
      }
    } else if (carrier === this._carrier) {
      this._carrier = null;
      this._next = null;
      this._retryAt = now;
      if (carrier._last === "superseded") {
        this._retryAt = now + Math.min(300 * Math.pow(2, Math.min(this._superseded++, 9)), BACKOFF[1], this._lifetime() / 3);
      } else if (carrier._last || (!how && carrier._attached)) {
        this._goOn(carrier, now);
      } else {
        if (carrier.kind >= HELD) machine._unannounced();
        this._lost(carrier, how, good, now);
      }
      if (good) this._superseded = 0;
    }
    this._turn();
  },

  /** A poll was answered, or a stream recycled: the next one follows. */
  _goOn: function (carrier, now) {
    var bounds = this._machine._server.poll_interval;
    if (carrier._opens && carrier.kind >= HELD) return; // it was only to open
    this._next = carrier._transport;
    if (carrier.kind !== POLL) return;
    if (carrier._brings || this._machine._received > carrier._from) this._pause = bounds[0] * 1000;
    else this._pause = Math.min(this._pause * 2, bounds[1] * 1000);
    this._retryAt = now + (this._machine._unsent() ? 0 : this._pause);
  },

  /** The newest carrier was lost. */
  _lost: function (carrier, how, good, now) {
    var machine = this._machine;
    this._fails++;
    if (carrier._refusal === 4406) this._fails--;
    else if (!carrier._refusal) {
      if (good) this._health._forget(carrier._transport.name);
      else this._failed(carrier, how);
    }
    this._why = carrier._transport.name + ": " + how;
    if (carrier._refusal === 4429 || carrier._refusal === 4503) this._fails = Math.max(this._fails, 5);
    if (this._fails > 1) {
      // The first attempt after a good carrier, and each transport's first at opening, are made at once.
      if (machine._sid || this._fails > this._transports.length) {
        this._retryAt = now + Math.min(BACKOFF[0] * Math.pow(2, Math.min(this._fails, 20) - 2), BACKOFF[1]) * (0.5 + Math.random() / 2);
      }
    }
    if (machine._sid) {
      this._set(machine._closing ? "closing" : "detached");
      if (now - this._contact > this._lifetime()) machine._end(4411, "no contact with the server", false);
    } else if (this._beside) {
      this._carrier = this._beside; // it has only to open: nothing better is under way
      this._beside = null;
    } else if (this._fails >= ROUNDS * this._transports.length || !this._choose()) {
      machine._end(4411, "no transport got through", false);
    }
  },

  /** Evidence against a transport. */
  _failed: function (carrier, how) {
    var name = carrier._transport.name, now = clock(), i;
    if (carrier._refusal) return; // policy is none
    this._streak[name] = true;
    this._health._failed(name, how, now);
    for (i = 0; carrier._isHeld && i < this._transports.length; i++) {
      // What holds one stream back holds them all.
      if (this._transports[i].kind === STREAM && this._transports[i] !== carrier._transport) {
        this._health._failed(this._transports[i].name, "another stream was held back", now);
      }
    }
    this._negotiate();
  },

  /** Each transport with verdict and reason: the server's word, and what was seen here. */
  _negotiate: function () {
    var list = [], seen = {}, now = clock(), i, self = this;
    function add(entry) {
      var name = entry.name, failure = self._health._failure(name, now);
      if (seen[name]) return;
      seen[name] = true;
      list.push({
        name: name,
        verdict: name === self._name ? "taken" : self._words[name] ? "refused" : failure ? "demoted" : entry.verdict === "taken" ? "offered" : entry.verdict || "offered",
        reason: self._words[name] || (failure && name !== self._name ? failure[2] : entry.reason || ""),
        timing: self._timings[name]
      });
    }
    for (i = 0; i < this._ranks.length; i++) add(this._ranks[i]);
    for (i = 0; i < this._transports.length; i++) add(this._transports[i]);
    for (i in this._words) add({ name: i });
    this._owner._negotiated(list);
  },

  // -- uplink by requests ------------------------------------------------------------------------------------------------

  /** Sends the next uplink batch, if there is something to say and none is in flight. */
  _uplink: function (now) {
    var self = this, machine = this._machine, carrier = this._carrier, judge = carrier, frames = [], kind, asker;
    if (!machine._sid || this._posting || now < this._postAt) return;
    if (!judge || !judge._judged) judge = this._beside && this._beside._judged ? this._beside : null;
    // By requests go the messages beside a stream or a held poll. A plain poll brings them along.
    kind = carrier ? carrier.kind : this._next ? this._next.kind : DUPLEX;
    if (kind === STREAM || (kind === HELD && !(carrier && carrier._brings))) frames = machine._batch(machine._acked + 1);
    else if (!judge) return;
    if (!(frames.length || judge || machine._confirm || machine._ackDue(this._ackDelay()) <= now)) return;
    if (judge) judge._judged = false;
    frames.unshift(machine._head());
    this._posting = asker = this._say(frames, function (how) {
      var then = clock();
      self._posting = null;
      if (how) {
        machine._unannounced();
        self._postAt = then + Math.min(BACKOFF[0] * Math.pow(2, Math.min(self._postFails++, 7)), BACKOFF[1]) * (1 + Math.random());
      } else {
        self._postFails = 0;
        if (judge && !judge._over) judge._judgedAt = then + 2 * (then - asker._since) + 500;
      }
      self._turn();
    });
  },

  /** Sends frames by a request of their own; `done` hears how that went, "" for well. */
  _say: function (frames, done) {
    var self = this, transport = this._carrier && this._carrier._transport.post ? this._carrier._transport : this._next;
    var asker = new Carrier(this, { kind: POLL }, this._cross), i;
    for (i = 0; (!transport || !transport.post) && i < this._transports.length; i++) transport = this._transports[i];
    if (!transport || !transport.post) return asker; // WebSockets only
    asker._since = clock();
    asker.end = function (how) {
      if (asker._over) return;
      asker._over = true;
      asker._link.stop();
      if (done && !self._machine._over) done(how);
    };
    asker._link = transport.post(asker, this._base + "send", frames);
    return asker;
  },

  _ackDelay: function () {
    return Math.min(this._interval(), 25000) / 2;
  },

  // -- drawing to an end ---------------------------------------------------------------------------------------------------

  /** The machine: the server goes away. */
  _drains: function (delay) {
    this._delay = delay;
    if (!this._machine._closing) this._set("draining");
  },

  _message: function (data) {
    this._owner._message(data);
  },

  _drops: function (count) {
    this._owner._drops(count);
  },

  _acked: function (count) {
    this._owner._acked(count);
  },

  /** The machine: the session has ended. */
  _hasEnded: function (code, reason, clean, ackDue) {
    var carrier = this._carrier, tries = 4, self = this, frames;
    clearTimeout(this._timer);
    if (ackDue) {
      frames = [this._machine._head()];
      if (carrier && carrier._ready && carrier._attached) this._write(carrier, ["a" + this._machine._acks()]);
      else acknowledge();
    }
    this._drop();
    this._owner._closed(code, reason, clean, this._delay);

    function acknowledge() {
      var asker = self._say(frames), end = asker.end;
      asker.end = function (how) {
        if (!asker._over && how && --tries) setTimeout(acknowledge, 1000);
        end(how);
      };
    }
  },

  // -- the one place where time passes ---------------------------------------------------------------------------------------

  _turn: function () {
    // Whatever happens on the way may call again: that is another round, not another level.
    if (this._turning) {
      this._again = true;
      return;
    }
    this._turning = true;
    do {
      this._again = false;
      this._round(clock());
    } while (this._again);
    this._turning = false;
  },

  _round: function (now) {
    var self = this, machine = this._machine, carrier, beside, slept;
    function due(when) {
      if (when > now && when < self._dueAt) self._dueAt = when;
      return when <= now;
    }
    clearTimeout(this._timer);
    if (machine._over || this._parked) return;
    slept = now - this._dueAt > GOOD_LIFE;
    this._dueAt = Infinity;
    if (slept) {
      this._check();
      return;
    }
    if (!this._carrier && !this._asking && due(this._retryAt)) {
      carrier = this._next || this._choose();
      if (!carrier) machine._end(4411, "there is no transport that this browser can run here", false);
      else this._start(carrier);
    }
    carrier = this._carrier;
    if (carrier && !carrier._over) {
      if (!carrier._attached) this._awaited(carrier, due, now);
      else if (carrier.kind === DUPLEX && due(carrier._heard + this._silence())) carrier.end("it went silent");
      else if (carrier.kind === DUPLEX && due(this._checkAt)) carrier.end("it did not answer");
      else if (carrier.kind === STREAM && due(carrier._heard + this._silence())) carrier.end("it went silent");
      else if (carrier.kind === DUPLEX && !carrier._pinged && due(carrier._heard + (this._interval() + this._silence()) / 2)) {
        carrier._pinged = true;
        this._write(carrier, ["p"]);
      }
    }
    beside = this._beside;
    if (beside) {
      if (beside._judgedAt && due(beside._judgedAt)) this._isHeld(beside);
      else if (due(beside._since + beside._limit)) beside.end("no answer in time");
    } else if (this._isSettled() && due(this._upgradeAt)) {
      this._upgrade(now);
      due(this._upgradeAt);
    }
    if (this._posting && due(this._posting._since + (this._options.postTimeout || 10000))) this._posting.end("no answer in time");
    carrier = this._carrier;
    if (carrier && carrier.kind === DUPLEX && !carrier._probes) this._flush(carrier);
    this._uplink(now);
    if (!this._posting) {
      due(this._postAt);
      if (carrier) due(machine._ackDue(carrier.kind === DUPLEX ? 1000 : this._ackDelay()));
    }
    if (due(this._closeAt)) machine._end(4412, "the close was not acknowledged in time", false);
    this._owner._progress();
    clearTimeout(this._timer);
    if (this._dueAt < Infinity && !machine._over) {
      this._timer = setTimeout(function () {
        self._turn();
      }, Math.min(Math.max(this._dueAt - now, 0), 2e9));
    }
  },

  /** Whether the session is carried, and nothing is under way that would change how. */
  _isSettled: function () {
    var carrier = this._carrier;
    return (
      this._state === "open" &&
      this._options.upgrade !== false &&
      (!carrier || (carrier._transport.name === this._name && (carrier._attached || carrier.kind >= HELD)))
    );
  },

  /** A carrier that has said nothing yet. */
  _awaited: function (carrier, due, now) {
    var self = this, machine = this._machine, polls;
    if (due(carrier._since + carrier._limit)) carrier.end("no answer in time");
    else if (carrier._judgedAt && due(carrier._judgedAt)) this._isHeld(carrier);
    else if (this._graceAt && due(this._graceAt)) carrier.end("no answer while HTTP had one");
    else if (!machine._sid && carrier.kind === DUPLEX && !this._raced && due(carrier._since + (this._options.raceDelay || 250))) {
      // A good network pays nothing for this; on a bad one the session is open while the WebSocket still hangs.
      this._raced = true;
      polls = this._polls();
      if (polls.length) {
        this._launch(polls[0], true, function (beside) {
          beside._gen = carrier._gen - 1;
          return machine._hello(beside, self._openFields());
        });
      }
    }
  },

  _isHeld: function (carrier) {
    carrier._isHeld = true;
    carrier.end("held back by something in between");
  },

  /** Tries the best transport that is better than the one in use, and due. */
  _upgrade: function (now) {
    var soonest = Infinity, i, transport, at;
    this._upgradeAt = Infinity;
    for (i = 0; i < this._transports.length; i++) {
      transport = this._transports[i];
      if (transport.name === this._name) break;
      if (this._words[transport.name]) continue;
      // From one stream to another nothing is won.
      if (transport.kind === STREAM && this._kind === STREAM) continue;
      if (transport.kind !== DUPLEX && !this._holds && held[this._origin] >= MOST_HELD) continue;
      at = this._health._retryAt(transport.name, now);
      if (at <= now) {
        this._upgradeAt = now + 1000;
        if (transport.kind >= HELD) this._start(transport);
        else {
          this._launch(transport, true, function () {
            return "p";
          });
        }
        return;
      }
      soonest = Math.min(soonest, at);
    }
    this._upgradeAt = Math.max(soonest, now + 1000) + Math.random() * 1000;
  },

  /** Asks the application for auth data: before the session opens, and once when the server takes them no longer. */
  _authorise: function () {
    var self = this, auth = this._options.auth;
    this._asking = true; // meanwhile nothing is started
    if (typeof auth === "function") auth = auth();
    if (auth && typeof auth.then === "function") {
      auth.then(got, function (error) {
        self._machine._end(4401, "options.auth: " + error, false);
      });
    } else got(auth);

    function got(value) {
      self._auth = value;
      if (self._machine._sid) self._say([self._machine._head(), "t" + JSON.stringify(value)], ready);
      else ready();
    }
    function ready() {
      self._asking = false;
      self._turn();
    }
  }
};
