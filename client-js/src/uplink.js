/**
 * What goes up by requests: messages and acks beside a stream or a held poll, one batch at a time (docs/protocol.md §6).
 * The answer to such a batch is also what a stream is judged by: see supervision.js.
 */
import { renew } from "./auth.js";
import { ackDue, batch, DUPLEX, HELD, STREAM, told, unannounced } from "./machine.js";
import { say } from "./say.js";

/** How long a poll is held where there are no pings, in milliseconds. */
export var HOLD = 25000;

/** How long an ack may wait for something to ride on. */
export function ackDelay(s, kind) {
  return kind === DUPLEX ? 1000 : Math.min(s._interval, HOLD) / 2;
}

/** Sends the next batch, if there is something to say and none is in flight. `judge`: the stream that waits for its test. */
export function sendUp(s, now, kind, brings, judge) {
  var frames = [], carrier = s._newest, due = ackDue(s, ackDelay(s, kind)) <= now, asker;
  if (!s._sid || s._batch || s._moved || s._asking || now < s._postAt) return;
  // A plain poll brings everything along; nothing goes beside a poll that brings messages.
  if (kind === STREAM || (kind === HELD && !brings)) frames = batch(s, s._acked + 1);
  else if (!judge) return;
  if (carrier && (carrier._attached || kind === HELD)) frames = told(s, carrier, due).concat(frames);
  if (!(frames.length || judge || s._confirm || due)) return;
  s._test = null;
  s._batch = asker = say(s, frames, function (how) {
    var then = s._at();
    s._batch = null;
    if (how) {
      unannounced(s);
      s._test = s._test || judge; // by the next one
      s._postFailed(how);
      if (asker._refusal === 4401) renew(s, how);
    } else {
      s._postAnswered();
      if (judge) s._tested(judge, then - now);
    }
    s._turns(s);
  });
}
