/**
 * What goes up by requests: messages and acks beside a stream or a held poll, one batch at a time (docs/protocol.md §6).
 * The answer to such a batch is also what a stream is judged by: see driver.js.
 */
import { Carrier } from "./carrier.js";
import { HELD, POLL, STREAM } from "./machine.js";
import { backOff, clock } from "./time.js";

export function Uplink(driver) {
  this._driver = driver;
  this._batch = null; // the one in flight
  this._at = 0; // not before
  this._fails = 0; // in a row
}

Uplink.prototype = {
  /** Sends the next batch, if there is something to say and none is in flight. `judge`: a stream waits for its test. */
  _turn: function (now, kind, brings, judge) {
    var self = this, machine = this._driver._machine, frames = [], batch;
    if (!machine._sid || this._batch || now < this._at) return;
    // A plain poll brings everything along; nothing goes beside a poll that brings messages.
    if (kind === STREAM || (kind === HELD && !brings)) frames = machine._batch(machine._acked + 1);
    else if (!judge) return;
    if (!(frames.length || judge || machine._confirm || machine._ackDue(this._driver._ackDelay(kind)) <= now)) return;
    if (judge) judge._judged = true;
    frames.unshift(machine._head());
    batch = this._batch = this._say(frames, function (how) {
      var then = clock();
      self._batch = null;
      if (how) {
        machine._unannounced();
        self._at = then + backOff(self._fails++);
      } else {
        self._fails = 0;
        if (judge) judge._verdictAt = then + 2 * (then - batch._since) + 500;
      }
      self._driver._turn();
    });
  },

  /** Makes one request of these frames. `done` hears how it went, "" for well. */
  _say: function (frames, done) {
    var driver = this._driver, asker = new Carrier(driver, { kind: POLL }), post = driver._poster();
    asker.end = function (how) {
      if (asker._over) return;
      driver._stop(asker);
      if (done) done(how);
    };
    if (post) asker._link = post(asker, driver._address("send"), frames);
    else asker.end("no answer"); // there are WebSockets only
    return asker;
  },

  /** Acks the server's close, which it waits for; up to three times more if nothing comes back. */
  _acknowledgeClose: function (tries) {
    var self = this;
    this._say([this._driver._machine._head()], function (how) {
      if (how && tries > 1) {
        setTimeout(function () {
          self._acknowledgeClose(tries - 1);
        }, 1000);
      }
    });
  },

  _stop: function () {
    if (this._batch) this._driver._machine._unannounced();
    this._driver._stop(this._batch);
    this._batch = null;
  }
};
