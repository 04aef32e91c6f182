/**
 * What goes up by requests: messages and acks beside a stream or a held poll, one batch at a time (docs/protocol.md §6).
 * The answer to such a batch is also what a stream is judged by: see supervision.js.
 */
import { renew } from "./auth.js";
import { ackDue, batch, DUPLEX, HELD, STREAM, told, unannounced } from "./machine.js";
import { say } from "./say.js";

/** How long a poll is held where there are no pings, in milliseconds. */
export var HOLD = 25000;

/** Sends the next batch, if there is something to say and none is in flight. */
export function sendUp(s) {
  var frames = [], carrier = s._newest, kind = (carrier || s._goesOn || {})._kind || DUPLEX, began = s._at();
  var judge = s._test && !s._test._over && s._test; // the stream that waits for its test
  var due = s._due(ackDue(s, kind ? Math.min(s._interval, HOLD) / 2 : 1000)); // so long an ack waits for something to ride on
  if (!s._due(s._postAt) || !s._sid || s._batch || s._moved || s._asking) return;
  // A plain poll brings everything along; nothing goes beside a poll that brings messages.
  if (kind === STREAM || (kind === HELD && !(carrier && carrier._brings))) frames = batch(s, s._acked + 1);
  else if (!judge) return;
  if (carrier && (carrier._attached || kind === HELD)) frames = told(s, carrier, due).concat(frames);
  if (!(frames.length || judge || s._confirm || due)) return;
  s._batch = say(s, frames, function (how, asker) {
    var then = s._at();
    s._batch = null;
    if (how) {
      unannounced(s);
      s._postFailed(how);
      if (asker._refusal === 4401) renew(s, how);
    } else {
      s._postAnswered();
      if (judge) s._tested(judge, then - began);
      if (s._test === judge) s._test = null;
    }
    s._turns(s);
  });
}
