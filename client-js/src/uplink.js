/**
 * What goes up by requests: messages and acks beside a stream or a held poll, one batch at a time (docs/protocol.md §6).
 * The answer to such a batch is also what a stream is judged by: see supervision.js.
 */
import { Carrier } from "./carrier.js";
import { HELD, POLL, STREAM } from "./machine.js";
import { clock } from "./time.js";

export function makeUplink(driver, machine) {
  var uplink = {
    _batch: null, // the one in flight
    _turn: turn,
    _say: say,
    _acknowledgeClose: acknowledgeClose,
    _repeat: repeat,
    _stop: stop
  };
  return uplink;

  /** Sends the next batch, if there is something to say and none is in flight. `judge`: a stream waits for its test. */
  function turn(now, kind, brings, judge) {
    var frames = [], policy = driver._policy, batch;
    if (!machine._sid || uplink._batch || now < policy._postAt) return;
    // A plain poll brings everything along; nothing goes beside a poll that brings messages.
    if (kind === STREAM || (kind === HELD && !brings)) frames = machine._batch(machine._acked + 1);
    else if (!judge) return;
    if (!(frames.length || judge || machine._confirm || machine._ackDue(driver._ackDelay(kind)) <= now)) return;
    if (judge) judge._judged = true;
    uplink._batch = batch = say(frames, function (how) {
      var then = clock();
      uplink._batch = null;
      if (how) {
        machine._unannounced();
        if (judge) judge._judged = false; // by the next one
        policy._postFailed(then, how, batch._wait);
        if (batch._refusal === 4401) policy._actions.push(["renew", how]);
      } else {
        policy._postAnswered();
        if (judge) policy._tested(then, judge, then - now);
      }
      driver._turn();
    });
  }

  /** Makes one request of these frames, behind a head. `done` hears how it went, "" for well; late after `limit`. */
  function say(frames, done, limit) {
    var asker = new Carrier(driver, { kind: POLL }), post = driver._poster(), timer;
    if (limit) timer = setTimeout(function () {
      asker.end("no answer in time");
    }, limit);
    asker.end = function (how) {
      if (asker._over) return;
      clearTimeout(timer);
      driver._stop(asker);
      if (done) done(how);
    };
    try {
      asker._link = post(asker, driver._address("send"), [machine._head()].concat(frames));
    } catch (error) {
      // There are WebSockets only, or the page has put something of its own in the way.
      setTimeout(function () {
        asker.end("" + error);
      }, 0);
    }
    return asker;
  }

  /** Acks the server's close, which it waits for; up to three times more if it is refused, or not answered in time. */
  function acknowledgeClose(tries, limit) {
    say([], function (how) {
      if (how && tries > 1) {
        setTimeout(function () {
          acknowledgeClose(tries - 1, limit);
        }, 1000);
      }
    }, limit);
  }

  /** Makes the request in flight again, at once: its connection may be dead. */
  function repeat() {
    if (uplink._batch) uplink._batch.end("another network");
  }

  function stop() {
    if (uplink._batch) machine._unannounced();
    driver._stop(uplink._batch);
    uplink._batch = null;
  }
}
