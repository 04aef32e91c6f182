/**
 * Keeps a carrier under a session: opens, falls back, upgrades and resumes.
 *
 * Whatever is due by time or by state is done in one place, _turn(), which may be called at any moment and sets one
 * timer for what comes next. So a page that slept, or whose timers are slow, catches up by itself.
 */
import { Carrier } from "./carrier.js";
import { Choice } from "./choice.js";
import { DUPLEX, HELD, Machine, POLL, STREAM } from "./machine.js";
import { random } from "./random.js";
import { backOff, clock } from "./time.js";
import { Uplink } from "./uplink.js";

var GRACE = 500; // for a WebSocket that has reached the server, when HTTP was faster
var GOOD_LIFE = 10000; // a carrier that lived so long was a good one: its end is no evidence
var MOST_HELD = 3; // requests held open in one page for one origin: browsers allow six connections, old ones fewer
var HOLD = 25000; // how long a poll is held where there are no pings
var ROUNDS = 2; // how often each transport is tried before opening is given up

var held = {}; // origin -> how many sessions of this page hold a request

/**
 * Drives one session at the endpoint `base`. `owner` hears: _transportIs(name, reason), _stateIs(state),
 * _message(data), _drops(count), _acked(count), _progress(), _negotiated(table),
 * _closed(code, reason, clean, delay).
 */
export function Driver(owner, base, transports, options) {
  this._owner = owner;
  this._options = options;
  this._base = base + "/v1/";
  this._origin = /^\w+:\/\/[^\/]*/.exec(base)[0];
  this._cross = typeof location !== "undefined" && location.protocol + "//" + location.host !== this._origin;
  this._machine = new Machine(this, random());
  this._choice = new Choice(transports, this._origin, this._cross);
  this._uplink = new Uplink(this);
  this._carrier = null; // the newest: poll after poll, it is null in between
  this._old = null; // the one before, read until the newest is attached
  this._beside = null; // a probe, or a second way of opening
  this._current = null; // the transport that carries, or did last
  this._goesOn = false; // with that one: the next poll, a recycled stream
  this._startAt = this._pause = 0;
  this._graceAt = this._upgradeAt = this._closeAt = this._checkAt = Infinity;
  this._fails = this._superseded = 0; // in a row
  this._delay = 0; // the wish of a server that goes away: come back within so many seconds
  this._contact = clock();
  this._authorise();
}

Driver.prototype = {
  // -- what the application asks -------------------------------------------------------------------------------------

  _send: function (data, size) {
    this._machine._send(data, size);
    if (this._carries()) this._flush();
    else {
      if (this._current && this._current.kind === POLL && this._goesOn) this._startAt = 0; // no pause: there is news
      this._turn();
    }
  },

  _close: function (code, reason) {
    this._machine._close(code, reason);
    this._closeAt = clock() + this._lifetime();
    this._set("closing");
    this._turn();
  },

  /** Bytes that were not handed to the network. */
  _buffered: function () {
    return this._carries() ? this._machine._waits + this._carrier._link.waiting() : this._machine._owed;
  },

  _maxSize: function () {
    return this._machine._server ? this._machine._server.max_size : Infinity;
  },

  // -- what happens to the page --------------------------------------------------------------------------------------

  /** The page is put away, and may come back: nothing is said, and nothing is kept open. */
  _park: function () {
    this._parked = true;
    this._drop();
  },

  _unpark: function () {
    this._parked = false;
    this._startAt = this._fails = 0;
    this._turn();
  },

  /** The page goes for good: the session is closed, by a beacon where no WebSocket can. */
  _leave: function () {
    var machine = this._machine, frames;
    if (machine._over || this._parked) return;
    if (!machine._closing) machine._close(1001, "");
    if (this._carries()) {
      this._flush();
      if (machine._unsent()) this._write(["x1001,session,,"]);
    } else if (machine._sid && typeof navigator !== "undefined" && navigator.sendBeacon) {
      frames = [machine._head()].concat(machine._batch(machine._acked + 1));
      if (machine._unsent() || JSON.stringify(frames).length > 6e4) frames = [frames[0], "x1001,session,,"];
      navigator.sendBeacon(this._base + "send", JSON.stringify(frames));
    }
    machine._end(1001, "the page was left", false);
  },

  /** The page has slept, or the network is `another`: what seems to live may be dead. */
  _check: function (another) {
    var carrier = this._carrier;
    this._fails = 0;
    if (another) {
      this._choice._health._forget();
      this._upgradeAt = Math.min(this._upgradeAt, clock());
    }
    if (this._carries()) {
      this._write(["p"]);
      this._checkAt = clock() + this._patience();
    } else if (!carrier) this._startAt = Math.min(this._startAt, clock());
    else if (carrier._attached || carrier.kind === HELD) this._start(carrier._transport); // costs little, and tells
    this._turn();
  },

  // -- times, in milliseconds ----------------------------------------------------------------------------------------

  _patience: function () {
    return this._options.attachTimeout || 5000;
  },

  /** After how long a server that has nothing to say pings. */
  _interval: function () {
    var server = this._machine._server;
    return server && server.ping_interval ? server.ping_interval * 1000 : Infinity;
  },

  /** How long a carrier may be mute. */
  _silence: function () {
    var server = this._machine._server;
    return server && server.ping_timeout ? this._interval() + server.ping_timeout * 1000 : Infinity;
  },

  /** How long a session outlives the last contact. */
  _lifetime: function () {
    var server = this._machine._server, silence = this._silence();
    return server ? server.resume_window * 1000 + (silence < Infinity ? silence : 0) : 120000;
  },

  /** How long an ack may wait for something to ride on. */
  _ackDelay: function (kind) {
    return kind === DUPLEX ? 1000 : Math.min(this._interval(), HOLD) / 2;
  },

  // -- starting and stopping carriers --------------------------------------------------------------------------------

  /** Makes `transport` carry the session from now on. */
  _start: function (transport) {
    var machine = this._machine, opens = !machine._sid;
    // A session is opened by a poll where there is one, so that the stream can be judged against a POST.
    if (opens && transport.kind === STREAM) transport = this._choice._opener() || transport;
    // A WebSocket leaves the lower gen to the poll that may open beside it, and so is the one that stays.
    if (opens && transport.kind === DUPLEX) machine._gen++;
    this._stop(this._old);
    this._old = this._carrier;
    this._carrier = new Carrier(this, transport);
    this._goesOn = false;
    machine._gen++;
    this._run(this._carrier, machine._gen);
  },

  /** Starts a carrier: with an open or an attach of this gen, or, without one, as a probe. */
  _run: function (carrier, gen) {
    var machine = this._machine, kind = carrier.kind;
    carrier._opens = !machine._sid;
    carrier._probes = !gen;
    carrier._gen = gen;
    carrier._limit = this._patience();
    if (kind === HELD && !carrier._opens) {
      carrier._limit = Math.max(carrier._limit, Math.min(this._silence(), 2 * Math.min(this._interval(), HOLD)));
    }
    carrier.secret = carrier._opens && this._auth !== undefined;
    carrier._judged = kind !== STREAM || carrier._opens;
    this._hold(kind === STREAM || kind === HELD);
    try {
      carrier._link = carrier._transport.open(
        carrier,
        this._base + carrier._transport.name,
        gen ? machine._hello(carrier, this._choice._history(), this._auth) : "p"
      );
    } catch (error) {
      carrier.end(error.message || "it can't be started");
    }
  },

  /** Keeps the page's account of held requests. */
  _hold: function (holds) {
    if (holds !== !!this._holds) held[this._origin] = (held[this._origin] || 0) + (holds ? 1 : -1);
    this._holds = holds;
  },

  _isCrowded: function () {
    return !this._holds && held[this._origin] >= MOST_HELD;
  },

  /** Lets go of a carrier, whatever it might still bring. */
  _stop: function (carrier) {
    if (!carrier || carrier._over) return;
    carrier._over = true;
    if (carrier._link) carrier._link.stop();
  },

  /** Lets go of everything that is under way. */
  _drop: function () {
    clearTimeout(this._timer);
    this._stop(this._carrier);
    this._stop(this._old);
    this._stop(this._beside);
    this._uplink._stop();
    this._carrier = this._old = this._beside = null;
    this._hold(false);
  },

  // -- writing -------------------------------------------------------------------------------------------------------

  /** Whether messages go up on a duplex carrier. */
  _carries: function () {
    return this._carrier && this._carrier.kind === DUPLEX && this._carrier._attached;
  },

  /** Writes frames on the newest carrier, a duplex one. */
  _write: function (frames) {
    try {
      if (frames.length) this._carrier._link.write(frames);
    } catch (error) {
      this._carrier.end(error.message);
    }
  },

  _flush: function () {
    if (this._carrier._ready) this._write(this._machine._flush(this._carrier, clock()));
    this._owner._progress();
  },

  /** How frames go up by requests, with the transport in use. Undefined where there are WebSockets only. */
  _poster: function () {
    var list = this._choice._list, post = this._current && this._current.post, i;
    for (i = 0; !post && i < list.length; i++) post = list[i].post;
    return post;
  },

  /** What a poll brings up: everything beside a plain one, the first messages with an open. */
  _pollMessages: function (carrier) {
    var frames = [];
    if (!this._uplink._batch && (carrier.kind === POLL || carrier._opens)) frames = this._machine._batch(carrier._up);
    carrier._brings = frames.length > 0;
    return frames;
  },

  // -- what carriers tell --------------------------------------------------------------------------------------------

  /** Frames have come on a carrier, or in the answer to an uplink batch. */
  _frames: function (carrier, frames) {
    var machine = this._machine, now = clock(), plain = carrier.kind === DUPLEX, i, frame, type, answers;
    carrier._heard = this._contact = now;
    carrier._pinged = false;
    if (carrier === this._carrier) this._checkAt = Infinity;
    for (i = 0; i < frames.length && !carrier._over && !machine._over; i++) {
      frame = frames[i];
      type = typeof frame === "string" ? frame.charAt(0) : "b";
      plain = plain && (type === "m" || type === "b");
      if (type === "e") carrier._last = frame.slice(1);
      else if (type === "q" && carrier._probes) this._gotThrough(carrier);
      else {
        try {
          answers = machine._receive(carrier, frame, now);
          if (answers && carrier === this._carrier) this._write(answers);
        } catch (code) {
          this._fail(code);
        }
      }
    }
    if (carrier._last && carrier.kind < HELD) carrier.end(""); // the others tell of their end themselves
    else if (!plain || machine._ackDue(1000) < this._dueAt) this._turn();
  },

  /** The server broke the protocol, by a code: it is told, and the session ends. */
  _fail: function (code) {
    var machine = this._machine, frame;
    if (typeof code !== "number") throw code;
    frame = "x" + code + ",session," + machine._received + ",";
    if (this._carries()) this._write([frame]);
    else if (machine._sid) this._uplink._say([machine._head(), frame]);
    machine._end(code, "the server broke the protocol", false);
  },

  /** The machine: `o` came on a carrier. */
  _opened: function (carrier, server) {
    this._choice._rank(server.transports);
    this._pause = server.poll_interval[0] * 1000;
    if (!this._current) this._moved(carrier);
    this._attached(carrier);
  },

  /** The machine: the session is taken up on a carrier. */
  _attached: function (carrier) {
    if (carrier._attached) return;
    carrier._attached = true;
    if (carrier !== this._carrier) return;
    this._choice._gotThrough(carrier._transport.name, (clock() - carrier._since) / 1000);
    this._fails = 0;
    this._renewed = false;
    this._graceAt = Infinity;
    this._stop(this._old);
    this._old = null;
    this._moved(carrier);
    this._set(this._machine._closing ? "closing" : this._machine._held ? "draining" : "open");
  },

  _moved: function (carrier) {
    if (this._current === carrier._transport) return;
    this._current = carrier._transport;
    this._upgradeAt = Math.min(this._upgradeAt, clock() + 1000);
    this._owner._negotiated(this._choice._table(this._current.name));
    this._owner._transportIs(this._current.name, this._why || "");
  },

  /** A probe was answered: what it tries is better than what is in use. */
  _gotThrough: function (probe) {
    this._beside = null;
    this._why = "it got through";
    if (probe.kind === DUPLEX) {
      this._old = this._carrier;
      this._carrier = probe;
      this._goesOn = probe._probes = false;
      probe._since = clock();
      probe._gen = ++this._machine._gen;
      this._hold(false);
      this._write([this._machine._hello(probe)]);
    } else {
      this._stop(probe);
      this._start(probe._transport);
    }
  },

  /** The machine: a request was refused, and the session goes on. Code 0: what it brought is no matter. */
  _refused: function (carrier, code, reason) {
    var name = carrier._transport.name, renews = code === 4401 && typeof this._options.auth === "function" && !this._renewed;
    if (!code) carrier._last = "superseded";
    else if (code === 4406 && name) this._choice._ruledOut[name] = reason; // policy is no evidence
    else if (renews) this._renewed = this._asking = true;
    else if (code !== 4408 && code !== 4429 && code !== 4503) {
      this._machine._end(code, reason, false);
      return;
    }
    carrier._refusal = code;
    carrier.end(reason);
    if (renews) this._authorise();
  },

  /** A carrier has ended; `how` in words, or "" for a poll that was answered. The one place where they end. */
  _ended: function (carrier, how) {
    var now = clock();
    if (carrier._over) return;
    this._stop(carrier);
    if (carrier === this._old) this._old = null;
    else if (carrier === this._beside) {
      this._beside = null;
      if (carrier._probes || carrier._opens) this._judge(carrier, how);
      // HTTP has opened the session. If the WebSocket has reached the server as well it is the better one.
      if (carrier._attached && this._carrier && !this._carrier._attached) this._graceAt = now + (carrier._last ? GRACE : 0);
    } else if (carrier === this._carrier) {
      this._carrier = null;
      this._startAt = now;
      if (now - carrier._since > GOOD_LIFE) this._superseded = 0;
      if (carrier._last === "superseded") {
        this._startAt += Math.min(300 * Math.pow(2, Math.min(this._superseded++, 5)), this._lifetime() / 3);
      } else if (carrier._last || (!how && carrier._attached)) this._goOn(carrier, now);
      else this._lost(carrier, how || "it ended without a word", now);
    }
    if (!this._goesOn) this._owner._negotiated(this._choice._table(this._current && this._current.name));
    this._turn();
  },

  /** A poll was answered, or a stream recycled: the next one follows. */
  _goOn: function (carrier, now) {
    var bounds = this._machine._server.poll_interval;
    this._goesOn = !(carrier._opens && carrier.kind >= HELD); // or it was only to open
    if (carrier.kind !== POLL) return;
    if (carrier._brings || this._machine._received > carrier._from) this._pause = bounds[0] * 1000;
    else this._pause = Math.min(this._pause * 2, bounds[1] * 1000);
    if (this._goesOn && !this._machine._unsent()) this._startAt = now + this._pause;
  },

  /** The newest carrier was lost. */
  _lost: function (carrier, how, now) {
    var machine = this._machine, rounds = this._choice._list.length;
    machine._unannounced();
    this._goesOn = false;
    this._why = carrier._transport.name + ": " + how;
    this._judge(carrier, how);
    if (carrier._refusal !== 4406) this._fails++;
    if (carrier._refusal === 4429 || carrier._refusal === 4503) this._fails = Math.max(this._fails, 5);
    // The first attempt after a good carrier is made at once, and so is each transport's first to open.
    if (this._fails > (machine._sid ? 1 : rounds)) this._startAt = now + backOff(this._fails - 2);
    if (machine._sid) {
      if (!machine._closing) this._set("detached");
      if (now - this._contact > this._lifetime()) machine._end(4411, "no contact with the server", false);
    } else if (this._beside) {
      this._carrier = this._beside; // it opens as well, and is under way
      this._beside = null;
    } else if (this._fails >= ROUNDS * rounds || !this._choice._next()) {
      machine._end(4411, "no transport got through: " + this._why, false);
    }
  },

  /** What the end of a carrier says about its transport. */
  _judge: function (carrier, how) {
    if (carrier._refusal || (carrier._attached && carrier.kind >= HELD && !how)) return;
    if (carrier._attached && clock() - carrier._since > GOOD_LIFE) this._choice._health._forget(carrier._transport.name);
    else this._choice._failed(carrier._transport, how, carrier._isHeld);
  },

  // -- drawing to an end ---------------------------------------------------------------------------------------------

  _set: function (state) {
    if (state !== this._state) {
      this._state = state;
      this._owner._stateIs(state);
    }
  },

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

  /** The machine: the session has ended. `ackDue`: the server waits for the ack of its close. */
  _hasEnded: function (code, reason, clean, ackDue) {
    if (ackDue && this._carries()) this._write(["a" + this._machine._acks()]);
    else if (ackDue) this._uplink._acknowledgeClose(4);
    this._drop();
    this._owner._closed(code, reason, clean, this._delay);
  },

  // -- the one place where time passes -------------------------------------------------------------------------------

  _turn: function () {
    // Whatever happens on the way may call again: that is another round, not another level.
    this._again = true;
    if (this._turning) return;
    this._turning = true;
    while (this._again) {
      this._again = false;
      if (!this._machine._over && !this._parked) this._round(clock());
    }
    this._turning = false;
  },

  /** Whether it is time; if not, the timer is set for it. */
  _due: function (when, now) {
    if (when > now) this._dueAt = Math.min(this._dueAt, when);
    return when <= now;
  },

  _round: function (now) {
    var self = this, machine = this._machine, slept = now - this._dueAt > GOOD_LIFE, carrier, kind, batch, transport;
    clearTimeout(this._timer);
    this._dueAt = Infinity;
    if (slept) {
      this._check();
      return;
    }

    if (!this._carrier && !this._asking && !(machine._closing && this._uplink._batch) && this._due(this._startAt, now)) {
      transport = this._goesOn ? this._current : this._choice._next(this._isCrowded());
      if (!transport) machine._end(4411, "there is no transport that this browser can run here", false);
      else this._start(transport);
    }
    this._watch(now);
    this._tryBetter(now);

    carrier = this._carrier;
    batch = this._uplink._batch;
    if (batch && this._due(batch._since + (this._options.postTimeout || 10000), now)) batch.end("no answer in time");
    if (carrier && carrier.kind === DUPLEX) this._flush();
    kind = carrier ? carrier.kind : this._goesOn ? this._current.kind : DUPLEX;
    this._uplink._turn(now, kind, carrier && carrier._brings, toJudge(carrier) || toJudge(this._beside));
    if (this._due(this._closeAt, now)) machine._end(4412, "the close was not acknowledged in time", false);
    if (machine._over) return;

    if (!this._uplink._batch && carrier) {
      this._due(this._uplink._at, now);
      this._due(machine._ackDue(this._ackDelay(kind)), now);
    }
    this._owner._progress();
    if (this._dueAt < Infinity) {
      this._timer = setTimeout(function () {
        self._turn();
      }, Math.min(this._dueAt - now, 2e9));
    }
  },

  /** The carriers that were started: those that are late, mute, or held back. */
  _watch: function (now) {
    var carrier = this._carrier, beside = this._beside, opener, heard = carrier && carrier._heard;
    if (beside && this._due(beside._verdictAt, now)) this._isHeld(beside);
    else if (beside && this._due(beside._since + beside._limit, now)) beside.end("no answer in time");
    if (!carrier) return;
    if (!carrier._attached) {
      if (this._due(carrier._since + carrier._limit, now)) carrier.end("no answer in time");
      else if (this._due(carrier._verdictAt, now)) this._isHeld(carrier);
      else if (this._due(this._graceAt, now)) carrier.end("no answer while HTTP had one");
      else if (carrier._opens && carrier.kind === DUPLEX && !this._raced && this._due(carrier._since + (this._options.raceDelay || 250), now)) {
        // A good network pays nothing for this. On a bad one the session is open while the WebSocket still hangs.
        this._raced = true;
        opener = this._choice._opener();
        if (opener) {
          this._beside = new Carrier(this, opener);
          this._run(this._beside, carrier._gen - 1);
        }
      }
    } else if (carrier.kind < HELD) {
      if (this._due(heard + this._silence(), now)) carrier.end("it went silent");
      else if (this._due(this._checkAt, now)) carrier.end("it did not answer");
      else if (carrier.kind === DUPLEX && !carrier._pinged && this._due((2 * heard + this._interval() + this._silence()) / 2, now)) {
        carrier._pinged = true; // later than the server, whose ping would then be on its way
        this._write(["p"]);
      }
    }
  },

  /** While a lesser transport carries the session in peace, tries the better ones beside it. */
  _tryBetter: function (now) {
    var carrier = this._carrier, better;
    if (this._state !== "open" || this._beside || this._options.upgrade === false) return;
    if (carrier && !(carrier._transport === this._current && (carrier._attached || carrier.kind >= HELD))) return;
    if (!this._due(this._upgradeAt, now)) return;
    better = this._choice._better(this._current, this._isCrowded());
    this._upgradeAt = Math.max(better.at, now + 1000) + Math.random() * 500;
    if (better.at > now) this._due(this._upgradeAt, now);
    else if (better.transport.kind >= HELD) this._start(better.transport);
    else {
      this._beside = new Carrier(this, better.transport);
      this._run(this._beside);
    }
  },

  _isHeld: function (carrier) {
    carrier._isHeld = true;
    carrier.end("held back by something in between");
  },

  // -- auth data -----------------------------------------------------------------------------------------------------

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
      if (self._machine._sid) self._uplink._say([self._machine._head(), "t" + JSON.stringify(value)], ready);
      else ready();
    }
    function ready() {
      self._asking = false;
      self._turn();
    }
  }
};

/** A stream that is still to be judged: by a POST, and by what comes on it until that is answered, and some time more. */
function toJudge(carrier) {
  return carrier && !carrier._judged ? carrier : null;
}
