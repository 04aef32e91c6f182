/** Requests of their own, which are no carriers: each brings something up, and is answered. */
import { Carrier, endpoint, stop } from "./carrier.js";
import { head, POLL } from "./machine.js";

/** Makes one request of these frames, behind a head. `done` hears how it went, "" for well. */
export function say(s, frames, done) {
  var asker = new Carrier(s), post = s._current && s._current._transport.post, i;
  asker._kind = POLL;
  asker._attached = true; // to nothing: an answer that says so is no news
  asker._timer = setTimeout(function () {
    asker.end("no answer in time");
  }, Math.min(s._grown(s._options.postTimeout, s._postsFailed), 2e9));
  asker.end = function (how) {
    if (asker._over) return;
    stop(asker);
    if (done) done(how, asker);
  };
  // By the transport in use, or another that can. There is none where there are WebSockets only.
  for (i = 0; !post && i < s._all.length; i++) post = s._all[i]._transport.post;
  try {
    asker._link = post(asker, endpoint(s, "send"), [head(s)].concat(frames));
  } catch (error) {
    // There is none, or the page has put something of its own in the way.
    setTimeout(function () {
      asker.end("" + error);
    }, 0);
  }
  return asker;
}

/** Acks the server's close, which it waits for; up to so many `times` more if it is refused, or not answered in time. */
export function acknowledgeClose(s, times) {
  say(s, [], function (how) {
    if (how && times) {
      setTimeout(function () {
        acknowledgeClose(s, times - 1);
      }, 1000);
    }
  });
}
