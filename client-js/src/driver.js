/**
 * Keeps a carrier under a session: opens, falls back, upgrades and resumes.
 *
 * Whatever is due by time or by state is done in one place, turn(), which may be called at any moment and sets one
 * timer for what comes next. So a page that slept, or whose timers are slow, catches up by itself.
 */
import { askFor } from "./auth.js";
import { Carrier } from "./carrier.js";
import { CANNOT, choose } from "./choice.js";
import { toBatch } from "./frames.js";
import { HOLD, interval, lifetime, silence } from "./limits.js";
import { DUPLEX, HELD, Machine, POLL, STREAM } from "./machine.js";
import { random } from "./random.js";
import { backOff, clock, doubled } from "./time.js";
import { makeUplink } from "./uplink.js";
import { root } from "./root.js";

var GRACE = 500; // for a WebSocket that has reached the server, when HTTP was faster
var GOOD_LIFE = 10000; // a carrier that lived so long was a good one: its end is no evidence
var MOST_HELD = 3; // requests held open in one page for one origin: browsers allow six connections, old ones fewer
var ROUNDS = 2, LEAST_TRIES = 6; // how often each transport is tried before opening is given up, and all together

var held = {}; // origin -> how many sessions of this page hold a request

/**
 * Drives one session at the endpoint with the address `url`. `owner`, the application's object, hears:
 * _transportIs(name, reason), _stateIs(state), _message(data), _tell(type, event) and
 * _closed(code, reason, clean, delay); the last is when it is over.
 */
export function drive(owner, url, transports, options) {
  var origin = url.replace(/^(\w+:\/\/)([^\/?#]*@)?([^\/?#]*).*/, "$1$3"); // nobody's name and password
  var cross = root.location && location.protocol + "//" + location.host !== origin;
  var newest = null; // the carrier that was started last; between two polls there is none
  var old = null; // the one before, read until the newest is attached
  var beside = null; // a probe, or a second way of opening
  var current = null; // the transport that carries, or did last
  var goesOn = false; // with that one: the next poll, a recycled stream
  var startAt = 0, pause = 0; // when to start the next carrier; between plain polls
  var graceAt = Infinity, upgradeAt = Infinity, closeAt = Infinity, checkAt = Infinity, dueAt = Infinity;
  var fails = 0, superseded = 0, late = 0; // in a row; the last, time-outs of anything since there was contact
  var began = 0; // since when the transport in use carries without a loss
  var delay = 0; // the wish of a server that goes away: come back within so many seconds
  var contact = clock();
  var state = "connecting";
  var why = ""; // the reason for the last change of transport
  var asking = true; // for auth data; meanwhile nothing is started
  var parked, holding, raced, renewed, authData, turning, again, timer;

  // What carriers, the uplink, the machine and the page call.
  var driver = {
    _start: authorise,
    _address: address,
    _cross: cross,
    _options: options,
    _send: send,
    _close: close,
    _park: park,
    _unpark: unpark,
    _leave: leave,
    _check: check,
    _turn: turn,
    _stop: stop,
    _ackDelay: ackDelay,
    _poster: poster,
    _messages: pollMessages,
    _receive: receive,
    _ended: ended,
    _opened: opened,
    _attached: attached,
    _refused: refused,
    _drains: drains,
    _hasEnded: hasEnded
  };
  var machine = (driver._machine = new Machine(driver, owner, random()));
  var choice = choose(transports, origin, cross);
  var uplink = makeUplink(driver, machine);

  return driver;

  /** The address of a transport, or of "send". The endpoint's query, which is the application's, stays. */
  function address(name) {
    return url.replace(/\/?(\?|$)/, "/v1/" + name + "$1");
  }

  // -- what the application asks -------------------------------------------------------------------------------------

  function send(data, size) {
    machine._send(data, size);
    if (carries()) flush();
    else {
      if (current && current.kind === POLL && goesOn) startAt = 0; // no pause: there is news
      turn();
    }
  }

  function close(code, reason) {
    if (!machine._sid && !machine._out.length) {
      // Nothing was sent, and nothing has come.
      park();
      setTimeout(function () {
        machine._end(code, reason, true);
      }, 0);
    }
    machine._close(code, reason);
    closeAt = clock() + lifetime(machine._server);
    set("closing");
    turn();
  }

  /** Counts the bytes that were not handed to the network. */
  function count() {
    owner.bufferedAmount = carries() ? machine._waits + newest._link.waiting() : machine._owed;
  }

  // -- what happens to the page --------------------------------------------------------------------------------------

  /** The page is put away, and may come back: nothing is said, and nothing is kept open. */
  function park() {
    parked = true;
    drop();
  }

  function unpark() {
    parked = false;
    startAt = fails = 0;
    turn();
  }

  /** The page goes for good: the session is closed, by a beacon where no WebSocket can. */
  function leave() {
    var frames, body;
    if (machine._over || parked) return;
    if (!machine._closing) machine._close(1001, "");
    if (carries()) {
      flush();
      if (machine._unsent()) write(["x1001,session,,"]);
    } else if (machine._sid && root.navigator && navigator.sendBeacon) {
      frames = [machine._head()].concat(machine._batch(machine._acked + 1));
      body = toBatch(frames);
      if (machine._unsent() || body.length > 6e4) body = toBatch([frames[0], "x1001,session,,"]);
      navigator.sendBeacon(address("send"), body);
    }
    machine._end(1001, "");
  }

  /** The page has slept, or the network is `another`: what seems to live may be dead. */
  function check(another) {
    var carrier = newest;
    fails = 0;
    if (another) {
      choice._forget();
      upgradeAt = Math.min(upgradeAt, clock());
      uplink._repeat();
    }
    if (carries()) {
      write(["p"]);
      checkAt = clock() + patience(0);
    } else if (!carrier) startAt = Math.min(startAt, clock());
    else if (carrier._attached || carrier.kind === HELD) start(carrier._transport); // costs little, and tells
    turn();
  }

  // -- times, in milliseconds ----------------------------------------------------------------------------------------

  /**
   * What the application has set, twice as much after each time-out, since the network may be slow; but one attempt
   * never takes more than half of what the session has left to live.
   */
  function setting(name, timeouts) {
    var time = options[name];
    return doubled(time, timeouts, Math.max(time, Math.min(time * 16, (lifetime(machine._server) - (clock() - contact)) / 2)));
  }

  function patience(timeouts) {
    return setting("attachTimeout", timeouts);
  }

  /** How long an ack may wait for something to ride on. */
  function ackDelay(kind) {
    return kind === DUPLEX ? 1000 : Math.min(interval(machine._server), HOLD) / 2;
  }

  // -- starting and stopping carriers --------------------------------------------------------------------------------

  /** Makes `transport` carry the session from now on. */
  function start(transport) {
    var opens = !machine._sid;
    // A session is opened by a poll where there is one, so that the stream can be judged against a POST.
    if (opens && transport.kind === STREAM) transport = choice._opener() || transport;
    // A WebSocket leaves the lower gen to the poll that may open beside it, and so is the one that stays.
    if (opens && transport.kind === DUPLEX) machine._gen++;
    stop(old);
    old = newest;
    newest = new Carrier(driver, transport);
    if (!goesOn) began = 0;
    goesOn = false;
    machine._gen++;
    run(newest, machine._gen);
  }

  /** Starts a carrier: with an open or an attach of this gen, or, without one, as a probe. */
  function run(carrier, gen) {
    var kind = carrier.kind;
    carrier._opens = !machine._sid;
    carrier._probes = !gen;
    carrier._gen = gen;
    carrier._limit = patience(kind < HELD ? 0 : late);
    if (kind === HELD && !carrier._opens) {
      carrier._limit = Math.max(carrier._limit, Math.min(silence(machine._server), 2 * Math.min(interval(machine._server), HOLD)));
    }
    carrier.secret = carrier._opens && authData !== undefined;
    carrier._judged = kind !== STREAM || carrier._opens;
    hold(kind === STREAM || kind === HELD);
    if (gen && machine._sid && !machine._proof(carrier)) {
      // Its URL wants a ticket, and there is none, which is rare.
      carrier._link = uplink._say(["k" + gen], function (how) {
        if (how || !machine._proof(carrier)) carrier.end(how || "no answer");
        else run(carrier, gen);
      }, patience(late))._link;
      return;
    }
    try {
      carrier._link = carrier._transport.open(
        carrier,
        address(carrier._transport.name),
        gen ? machine._hello(carrier, choice._history(), authData) : "p"
      );
    } catch (error) {
      carrier.end(error.message || CANNOT);
    }
  }

  /** Keeps the page's account of held requests. */
  function hold(holds) {
    if (holds !== !!holding) held[origin] = (held[origin] || 0) + (holds ? 1 : -1);
    holding = holds;
  }

  function isCrowded() {
    return !holding && held[origin] >= MOST_HELD;
  }

  /** Lets go of a carrier, whatever it might still bring. */
  function stop(carrier) {
    if (!carrier || carrier._over) return;
    carrier._over = true;
    try {
      if (carrier._link) carrier._link.stop();
    } catch (error) {
      // What the page has put in its place can't.
    }
  }

  /** Lets go of everything that is under way. */
  function drop() {
    clearTimeout(timer);
    stop(newest);
    stop(old);
    stop(beside);
    uplink._stop();
    newest = old = beside = null;
    hold(false);
  }

  // -- writing -------------------------------------------------------------------------------------------------------

  /** Whether messages go up on a duplex carrier. */
  function carries() {
    return newest && newest.kind === DUPLEX && newest._attached;
  }

  /** Writes frames on the newest carrier, a duplex one. */
  function write(frames) {
    try {
      if (frames.length) newest._link.write(frames);
    } catch (error) {
      newest.end(error.message);
    }
  }

  function flush() {
    if (newest._ready) write(machine._flush(newest, clock()));
    count();
  }

  /** How frames go up by requests, with the transport in use. Undefined where there are WebSockets only. */
  function poster() {
    var list = choice._list, post = current && current.post, i;
    for (i = 0; !post && i < list.length; i++) post = list[i].post;
    return post;
  }

  /** What a poll brings up: everything beside a plain one, the first messages with an open. */
  function pollMessages(carrier) {
    var frames = [];
    if (!uplink._batch && (carrier.kind === POLL || carrier._opens)) frames = machine._batch(carrier._up);
    carrier._brings = frames.length;
    return frames;
  }

  // -- what carriers tell --------------------------------------------------------------------------------------------

  /** Frames have come on a carrier, or in the answer to an uplink batch. */
  function receive(carrier, frames) {
    var now = clock(), plain = carrier.kind === DUPLEX, known = delivered(), i, frame, type, answers;
    contact = carrier._heard = now;
    carrier._pinged = false;
    late = 0;
    if (carrier === newest) checkAt = Infinity;
    for (i = 0; i < frames.length && !carrier._over && !machine._over; i++) {
      frame = frames[i];
      type = typeof frame === "string" ? frame.charAt(0) : "b";
      plain = plain && (type === "m" || type === "b");
      if (type === "e") carrier._last = frame.slice(1);
      else if (type === "q" && carrier._probes) gotThrough(carrier);
      else {
        try {
          // As if it had come a little earlier, each time another: or all who get a broadcast would ack it at once.
          answers = machine._receive(carrier, frame, now - Math.random() * 250);
          if (answers && carrier === newest) write(answers);
        } catch (code) {
          fail(code);
        }
      }
    }
    if (carrier === newest && delivered() > known) fails = 0;
    if (carrier.kind >= HELD) return; // they tell of their end themselves, at once
    if (carrier._last) carrier.end("");
    else if (!plain || machine._ackDue(1000) < dueAt) turn();
  }

  /** Grows with each message that has got through, up or down. */
  function delivered() {
    return machine._received + machine._acked;
  }

  /** The server broke the protocol, by a code: it is told, and the session ends. */
  function fail(code) {
    var frame;
    if (typeof code !== "number") throw code;
    frame = "x" + code + ",session," + machine._received + ",";
    if (carries()) write([frame]);
    else if (machine._sid) uplink._say([frame]);
    machine._end(code, "protocol error");
  }

  /** The machine: `o` came on a carrier. */
  function opened(carrier, server) {
    choice._rank(server.transports);
    pause = server.poll_interval[0] * 1000;
    owner._maxSize = server.max_size;
    fails = 0;
    attached(carrier);
    if (!current) moved(carrier); // opened by a poll beside the newest
  }

  /** The machine: the session is taken up on a carrier. */
  function attached(carrier) {
    if (carrier._attached) return;
    carrier._attached = true;
    if (carrier !== newest) return;
    choice._gotThrough(carrier._transport.name, (clock() - carrier._since) / 1000);
    // Whoever only attaches is not believed yet: fails stays, and so does the pause, until a message gets through.
    began = began || clock();
    renewed = false;
    graceAt = Infinity;
    stop(old);
    old = null;
    moved(carrier);
    set(machine._closing ? "closing" : machine._held ? "draining" : "open");
  }

  function moved(carrier) {
    if (current === carrier._transport) return;
    current = carrier._transport;
    upgradeAt = Math.min(upgradeAt, clock() + 1000);
    owner.negotiation = choice._table(current.name);
    count();
    owner._transportIs(current.name, why || "");
  }

  /** A probe was answered: what it tries is better than what is in use. */
  function gotThrough(probe) {
    beside = null;
    why = "it got through";
    if (probe.kind === DUPLEX) {
      old = newest;
      newest = probe;
      goesOn = probe._probes = false;
      began = 0;
      probe._since = clock();
      probe._gen = ++machine._gen;
      hold(false);
      write([machine._hello(probe)]);
    } else {
      stop(probe);
      start(probe._transport);
    }
  }

  /** The machine: a request was refused, and the session goes on. Code 0: what it brought is no matter. */
  function refused(carrier, code, reason) {
    var name = carrier._transport.name, renews = code === 4401 && typeof options.auth === "function" && !renewed;
    if (!code) carrier._last = "superseded";
    else if (code === 4406 && name) choice._ruledOut[name] = reason; // policy is no evidence
    else if (renews) renewed = asking = true;
    else if (code !== 4408 && code !== 4429 && code !== 4503) {
      machine._end(code, reason);
      return;
    }
    carrier._refusal = code;
    carrier.end(reason);
    if (renews) authorise();
  }

  /** A carrier has ended; `how` in words, or "" for a poll that was answered. The one place where they end. */
  function ended(carrier, how) {
    var now = clock();
    if (carrier._over) return;
    stop(carrier);
    if (carrier === old) old = null;
    else if (carrier === beside) {
      beside = null;
      if (carrier._probes || carrier._opens) judge(carrier, how);
      // HTTP has opened the session. The WebSocket, which is the better one, has as long again: its handshake takes a
      // round trip more where HTTP has a connection already. And longer, if it has reached the server.
      if (carrier._attached && newest && !newest._attached) {
        graceAt = now + Math.max(now - carrier._since, carrier._last ? GRACE : 0);
      }
    } else if (carrier === newest) {
      newest = null;
      startAt = now;
      if (now - carrier._since > GOOD_LIFE) superseded = 0;
      if (carrier._last === "superseded") {
        startAt += doubled(300, superseded++, Math.min(lifetime(machine._server) / 3, 10000));
      } else if (carrier._last || (!how && carrier._attached)) goOn(carrier, now);
      else lost(carrier, how || "cut", now);
    }
    if (!goesOn) owner.negotiation = choice._table(current && current.name);
    turn();
  }

  /** A poll was answered, or a stream recycled: the next one follows. */
  function goOn(carrier, now) {
    var bounds = machine._server.poll_interval;
    goesOn = !(carrier._opens && carrier.kind >= HELD); // or it was only to open
    if (carrier.kind !== POLL) return;
    if (carrier._brings || machine._received > carrier._from) pause = bounds[0] * 1000;
    else pause = Math.min(pause * 2, bounds[1] * 1000);
    if (goesOn && !machine._unsent()) startAt = now + pause;
  }

  /** The newest carrier was lost. */
  function lost(carrier, how, now) {
    var rounds = choice._list.length;
    machine._unannounced();
    goesOn = false;
    graceAt = Infinity;
    why = carrier._transport.name + ": " + how;
    judge(carrier, how);
    if (began && now - began > GOOD_LIFE) fails = 0;
    if (carrier._refusal !== 4406) fails++;
    if (carrier._refusal === 4429 || carrier._refusal === 4503) fails = Math.max(fails, 5);
    // The first attempt after a good carrier is made at once, and so is each transport's first to open.
    if (fails > (machine._sid ? 1 : rounds)) startAt = now + backOff(fails - 2);
    if (machine._sid) {
      if (!machine._closing) set("detached");
      if (now - contact > lifetime(machine._server)) machine._end(4411, "no contact");
    } else if (beside) {
      newest = beside; // it opens as well, and is under way
      beside = null;
    } else if (!choice._next() && carrier._refusal) machine._end(carrier._refusal, how); // as after a wrong address
    // Where HTTP says that there is nothing of this name, nobody else will find it either.
    else if (fails >= Math.max(ROUNDS * rounds, LEAST_TRIES) || /HTTP 404/.test(how)) machine._end(4411, "no transport got through: " + why);
  }

  /** What the end of a carrier says about its transport. */
  function judge(carrier, how) {
    if (carrier._last || carrier._refusal || (carrier._attached && carrier.kind >= HELD && !how)) return;
    if (carrier._attached && clock() - carrier._since > GOOD_LIFE) choice._forget(carrier._transport.name);
    else choice._failed(carrier._transport, how, carrier._isHeld);
  }

  // -- drawing to an end ---------------------------------------------------------------------------------------------

  function set(next) {
    if (next !== state) owner._stateIs((state = next));
  }

  /** The machine: the server goes away. */
  function drains(seconds) {
    delay = seconds;
    if (!machine._closing) set("draining");
  }

  /** The machine: the session has ended. `ackDue`: the server waits for the ack of its close. */
  function hasEnded(code, reason, clean, ackDue) {
    if (ackDue && carries()) write(["a" + machine._acks()]);
    else if (ackDue) uplink._acknowledgeClose(4, setting("postTimeout", 0));
    drop();
    owner._closed(code, reason, !!clean, delay);
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
        if (!machine._over && !parked) round(clock());
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
    var slept = now - dueAt > GOOD_LIFE, kind, batch, judged, transport;
    clearTimeout(timer);
    dueAt = Infinity;
    if (slept) {
      check();
      return;
    }

    if (!newest && !asking && !(machine._closing && uplink._batch) && due(startAt, now)) {
      transport = goesOn ? current : choice._next(isCrowded());
      if (!transport) machine._end(4411, CANNOT);
      else start(transport);
    }
    tryBetter(now);
    watch(now);

    if (newest && newest.kind === DUPLEX) flush();
    kind = newest ? newest.kind : goesOn ? current.kind : DUPLEX;
    // A stream is judged by a POST: the newest, or one that is tried beside it.
    judged = newest && !newest._judged ? newest : beside && !beside._judged && beside;
    uplink._turn(now, kind, newest && newest._brings, judged);
    batch = uplink._batch;
    if (batch && due(batch._heard + setting("postTimeout", late), now)) expire(batch);
    if (due(closeAt, now)) machine._end(4412, "no answer in time");
    if (machine._over) return;

    if (!uplink._batch && newest) {
      due(uplink._at, now);
      due(machine._ackDue(ackDelay(kind)), now);
    }
    count();
    if (dueAt < Infinity) timer = setTimeout(turn, Math.min(dueAt - now, 2e9));
  }

  /** The carriers that were started: those that are late, mute, or held back. */
  function watch(now) {
    var carrier = newest, opener;
    if (carrier && !carrier._attached) {
      if (isLate(carrier, now)) return;
      if (due(graceAt, now)) carrier.end("HTTP was faster");
      else if (carrier._opens && carrier.kind === DUPLEX && !raced && due(carrier._since + setting("raceDelay", 0), now)) {
        // A good network pays nothing for this. On a bad one the session is open while the WebSocket still hangs.
        raced = true;
        opener = choice._opener();
        if (opener) {
          beside = new Carrier(driver, opener);
          run(beside, carrier._gen - 1);
        }
      }
    } else if (carrier && carrier.kind < HELD) {
      if (due(carrier._heard + silence(machine._server), now)) carrier.end("silent");
      else if (due(checkAt, now)) expire(carrier);
      else if (carrier.kind === DUPLEX && !carrier._pinged && due((2 * carrier._heard + interval(machine._server) + silence(machine._server)) / 2, now)) {
        carrier._pinged = true; // later than the server, whose ping would then be on its way
        write(["p"]);
      }
    }
    if (beside) isLate(beside, now);
  }

  function expire(carrier) {
    late++;
    carrier.end("no answer in time");
  }

  /** Ends a carrier whose answer is late, or held back. Returns whether it was. */
  function isLate(carrier, now) {
    carrier._isHeld = due(carrier._verdictAt, now);
    if (carrier._isHeld) carrier.end("held back");
    else if (due(carrier._heard + carrier._limit, now)) expire(carrier);
    return carrier._over;
  }

  /** While a lesser transport carries the session in peace, tries the better ones beside it. */
  function tryBetter(now) {
    var carrier = newest, better;
    if (state !== "open" || beside || !options.upgrade) return;
    if (carrier && !(carrier._transport === current && (carrier._attached || carrier.kind >= HELD))) return;
    if (!due(upgradeAt, now)) return;
    better = choice._better(current, isCrowded());
    upgradeAt = Math.max(better.at, now + 1000) + Math.random() * 500;
    if (better.at > now) due(upgradeAt, now);
    else if (better.transport.kind >= HELD) start(better.transport);
    else {
      beside = new Carrier(driver, better.transport);
      run(beside);
    }
  }

  // -- auth data -----------------------------------------------------------------------------------------------------

  /** Asks the application for auth data: before the session opens, and once when the server takes them no longer. */
  function authorise() {
    asking = true;
    askFor(
      options.auth,
      function (value, json) {
        authData = value;
        if (machine._sid) uplink._say(["t" + (json || null)], ready, setting("postTimeout", 0));
        else ready();
      },
      function (error) {
        machine._end(4401, "options.auth: " + error);
      }
    );
    function ready() {
      asking = false;
      turn();
    }
  }
}
