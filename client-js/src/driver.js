/**
 * One session: what the application asks, what happens to its page, and what its carriers bring. Which carrier is started
 * when is the policy's to say (supervision.js), which supervisor.js obeys.
 */
import { askFor } from "./auth.js";
import { Carrier } from "./carrier.js";
import { toBatch } from "./frames.js";
import { remember } from "./known.js";
import { HOLD, interval, lifetime, silence } from "./limits.js";
import { DUPLEX, HELD, Machine, POLL } from "./machine.js";
import { random } from "./random.js";
import { supervise } from "./supervision.js";
import { obey } from "./supervisor.js";
import { clock } from "./time.js";
import { makeUplink } from "./uplink.js";
import { root } from "./root.js";

var OPEN_TIMEOUT = 30000; // for opening, all transports together

/**
 * Drives one session at the endpoint with the address `url`. `owner`, the application's object, hears:
 * _transportIs(name, reason), _stateIs(state), _message(data), _tell(type, event) and
 * _closed(code, reason, clean, delay); the last is when it is over.
 */
export function drive(owner, url, transports, options) {
  var origin = url.replace(/^(\w+:\/\/)([^\/?#]*@)?([^\/?#]*).*/, "$1$3"); // nobody's name and password
  var cross = root.location && location.protocol + "//" + location.host !== origin;
  var usable = []; // transports that can run here
  var current = null; // the transport that carries, or did last, as the application knows
  var delay = 0; // the wish of a server that goes away: come back within so many seconds
  var authData, i;
  for (i = 0; i < transports.length; i++) if (transports[i].usable(cross)) usable.push(transports[i]);
  var policy = supervise(usable, {
    _attachTimeout: options.attachTimeout,
    _raceDelay: options.raceDelay,
    _upgrade: options.upgrade,
    _insists: true
  }, Math.random, clock(), function (known) {
    return new Carrier(driver, known._transport);
  });

  // What carriers, the supervisor, the uplink, the machine and the page call, and look at.
  var driver = {
    _owner: owner,
    _options: options,
    _policy: policy,
    _cross: cross,
    _state: "connecting",
    _why: "", // the reason for the last change of transport
    _asking: true, // for auth data; meanwhile nothing is started
    _closeAt: Infinity,
    _parked: false,
    _start: authorise,
    _address: address,
    _hello: hello,
    _send: send,
    _close: close,
    _park: park,
    _unpark: unpark,
    _leave: leave,
    _check: check,
    _set: set,
    _table: table,
    _ackDelay: ackDelay,
    _poster: poster,
    _messages: pollMessages,
    _receive: receive,
    _opened: opened,
    _attached: attached,
    _refused: refused,
    _drains: drains,
    _hasEnded: hasEnded
  };
  policy._openBy = Infinity; // see begin()
  var machine = (driver._machine = new Machine(driver, owner, random()));
  var known = (driver._known = remember(policy, transports, origin));
  var uplink = (driver._uplink = makeUplink(driver, machine));
  obey(driver, origin);

  return driver;

  /** The address of a transport, or of "send". The endpoint's query, which is the application's, stays. */
  function address(name) {
    return url.replace(/\/?(\?|$)/, "/v1/" + name + "$1");
  }

  /** The first frame of a carrier. */
  function hello(carrier) {
    carrier.secret = !machine._sid && authData !== undefined;
    return machine._hello(carrier, known._history(), authData);
  }

  // -- what the application asks -------------------------------------------------------------------------------------

  function send(data, size) {
    machine._send(data, size);
    if (driver._carries()) driver._flush();
    else driver._turn();
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
    driver._closeAt = clock() + policy._lifetime;
    set("closing");
    driver._turn();
  }

  // -- what happens to the page --------------------------------------------------------------------------------------

  /** The page is put away, and may come back: nothing is said, and nothing is kept open. */
  function park() {
    driver._parked = true;
    driver._drop();
  }

  function unpark() {
    if (!driver._parked) return;
    driver._parked = false;
    policy._contact = clock();
    policy._dropped(clock());
    begin();
  }

  /** The page goes for good: the session is closed, by a beacon where no WebSocket can. */
  function leave() {
    var frames, body;
    if (machine._over || driver._parked) return;
    if (!machine._closing) machine._close(1001, "");
    if (driver._carries()) {
      driver._flush();
      if (machine._unsent()) driver._write(["x1001,session,,"]);
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
    policy._online(clock(), another);
    if (another) uplink._repeat();
    begin();
  }

  /** Opening, if it still goes on, has all its time again. */
  function begin() {
    policy._openBy = clock() + OPEN_TIMEOUT;
    driver._turn();
  }

  // -- what carriers tell --------------------------------------------------------------------------------------------

  /** How long an ack may wait for something to ride on. */
  function ackDelay(kind) {
    return kind === DUPLEX ? 1000 : Math.min(interval(machine._server), HOLD) / 2;
  }

  /** How frames go up by requests, with the transport in use. Undefined where there are WebSockets only. */
  function poster() {
    var post = current && current._transport.post, i;
    for (i = 0; !post && i < usable.length; i++) post = usable[i].post;
    return post;
  }

  /** What a poll brings up: everything beside a plain one, the first messages with an open. */
  function pollMessages(carrier) {
    var frames = [];
    if (!uplink._batch && carrier._role !== "probe" && (carrier.kind === POLL || carrier._opens)) frames = machine._batch(carrier._up);
    carrier._brings = frames.length > 0;
    return frames;
  }

  /** Frames have come on a carrier, or in the answer to an uplink batch. */
  function receive(carrier, frames) {
    var now = clock(), plain = carrier.kind === DUPLEX, received = machine._received, acked = machine._acked;
    var isNewest = carrier === policy._newest, i, frame, type, answers;
    carrier._heard = policy._contact = now;
    carrier._pinged = false;
    for (i = 0; i < frames.length && !carrier._over && !machine._over; i++) {
      frame = frames[i];
      type = typeof frame === "string" ? frame.charAt(0) : "b";
      plain = plain && (type === "m" || type === "b");
      if (type === "e") carrier._last = frame.slice(1);
      else if (type === "q" && carrier._role === "probe") policy._proven(now, carrier);
      else {
        try {
          answers = machine._receive(carrier, frame, now);
          if (answers && carrier === policy._newest) driver._write(answers);
        } catch (code) {
          fail(code);
        }
      }
    }
    if (isNewest && machine._received + machine._acked > received + acked) policy._delivered(now, machine._acked > acked);
    if (carrier.kind >= HELD) return; // they tell of their end themselves, at once
    if (carrier._last) carrier.end("");
    else if (!plain || machine._ackDue(1000) < driver._dueAt) driver._turn();
  }

  /** The server broke the protocol, by a code: it is told, and the session ends. */
  function fail(code) {
    var frame;
    if (typeof code !== "number") throw code;
    frame = "x" + code + ",session," + machine._received + ",";
    if (driver._carries()) driver._write([frame]);
    else if (machine._sid) uplink._say([frame]);
    machine._end(code, "protocol error");
  }

  /** The machine: `o` came on a carrier. */
  function opened(carrier, server) {
    var bounds = server.poll_interval;
    known._rank(server.transports);
    owner._maxSize = server.max_size;
    policy._opened(
      clock(),
      lifetime(server),
      Math.min(silence(server), 2 * Math.min(interval(server), HOLD)),
      [bounds[0] * 1000, bounds[1] * 1000]
    );
    attached(carrier);
  }

  /** The machine: the session is taken up on a carrier. */
  function attached(carrier) {
    if (carrier._attached || carrier._role === "probe") return;
    policy._attached(clock(), carrier);
    if (current !== policy._current) {
      current = policy._current;
      table();
      owner._transportIs(current._name, driver._why);
    }
    driver._why = "it got through"; // unless something else happens first
    if (carrier === policy._newest) set(machine._closing ? "closing" : machine._held ? "draining" : "open");
  }

  /** The machine: a request was refused, and the session goes on. Code 0: what it brought is no matter. */
  function refused(carrier, code, reason) {
    if (code) carrier._refusal = code;
    else carrier._last = "superseded";
    carrier.end(reason);
  }

  function table() {
    owner.negotiation = known._table();
  }

  // -- drawing to an end ---------------------------------------------------------------------------------------------

  function set(next) {
    if (next !== driver._state) owner._stateIs((driver._state = next));
  }

  /** The machine: the server goes away. */
  function drains(seconds) {
    delay = seconds;
    if (!machine._closing) set("draining");
  }

  /** The machine: the session has ended. `ackDue`: the server waits for the ack of its close. */
  function hasEnded(code, reason, clean, ackDue) {
    if (ackDue && driver._carries()) driver._write(["a" + machine._acks()]);
    else if (ackDue) uplink._acknowledgeClose(4, options.postTimeout);
    policy._over();
    driver._drop();
    owner._closed(code, reason, !!clean, delay);
  }

  // -- auth data -----------------------------------------------------------------------------------------------------

  /** Asks the application for auth data: before the session opens, and when the server takes them no longer. */
  function authorise() {
    askFor(
      options.auth,
      function (value, json) {
        authData = value;
        if (machine._sid) uplink._say(["t" + (json || null)], ready, options.postTimeout);
        else ready();
      },
      function (error) {
        machine._end(4401, "options.auth: " + error);
      }
    );
    function ready() {
      driver._asking = false;
      policy._renewed(clock());
      begin();
    }
  }
}
