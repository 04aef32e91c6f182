/**
 * Which transports there are for a session, what is known of each, and which one is to be tried next: the server's
 * word, what this engine can run, and what was seen to fail here.
 */
import { remember } from "./health.js";
import { HELD, STREAM } from "./machine.js";
import { clock } from "./time.js";

export var CANNOT = "can't run here";

/** `transports`: what the application wants, best first, for an endpoint of `origin`. */
export function choose(transports, origin, cross) {
  var health = remember(origin);
  var ruledOut = {}; // name -> why it is out of the question
  var timings = {}; // name -> seconds it took to get through
  var streak = []; // what failed since a carrier carried last
  var ranks = []; // the server's list
  var list = []; // what can be run, best first
  var choice = {
    _list: list,
    _ruledOut: ruledOut,
    _forget: health._forget,
    _rank: rank,
    _next: next,
    _better: better,
    _opener: opener,
    _failed: failed,
    _gotThrough: gotThrough,
    _history: history,
    _table: table
  };
  var i;
  for (i = 0; i < transports.length; i++) {
    if (transports[i].usable(cross)) list.push(transports[i]);
    else ruledOut[transports[i].name] = CANNOT;
  }
  return choice;

  /** The server's list: its order says what is wanted most. What failed is for this client to find out. */
  function rank(known) {
    var ranked = [], i, k, name;
    ranks = known;
    for (i = 0; i < ranks.length; i++) {
      name = ranks[i].name;
      if (ranks[i].verdict === "refused" && !ruledOut[name]) ruledOut[name] = ranks[i].reason;
      for (k = 0; k < list.length; k++) if (list[k].name === name) ranked.push(list[k]);
    }
    if (ranked.length) choice._list = list = ranked;
  }

  /** The one to try next: the best that is well, else the one that will be soonest. Undefined if there is none. */
  function next(crowded) {
    return soonest(0, crowded).transport;
  }

  /** The transport that opens a session for one that can't well, or beside it: a poll, if any is well. */
  function opener() {
    var found = soonest(HELD);
    return found.at ? undefined : found.transport;
  }

  /** The one to try beside `current`, which carries, and when: better, and not just another stream. */
  function better(current, crowded) {
    return soonest(0, crowded, current);
  }

  /** {transport, at}: of these kinds, and above `current`, the best that is well now, else what will be soonest. */
  function soonest(least, crowded, current) {
    var best = { at: Infinity }, now = clock(), i, kind, at;
    for (i = 0; i < list.length && list[i] !== current; i++) {
      kind = list[i].kind;
      if (kind < least || ruledOut[list[i].name] || (current && kind === STREAM && current.kind === STREAM)) continue;
      at = health._retryAt(list[i].name);
      if (at <= now) at = 0;
      // Where other sessions of the page hold requests enough, what needs another one comes last.
      if (crowded && (kind === STREAM || kind === HELD)) at = Math.max(at, now) + 1e9;
      if (at < best.at) best = { transport: list[i], at: at };
    }
    return best;
  }

  /** Evidence against a transport. What holds one stream back (`isHeld`) holds them all. */
  function failed(transport, how, isHeld) {
    for (var i = 0; i < list.length; i++) {
      if (list[i] === transport || (isHeld && list[i].kind === STREAM)) {
        if (!isHeld) streak.push(list[i].name);
        health._failed(list[i].name, how);
      }
    }
  }

  /** A carrier of this transport has begun to carry. */
  function gotThrough(name, seconds) {
    var several, i;
    timings[name] = timings[name] || seconds;
    // Several that failed in a row may have met a network that was gone: they are tried again soon.
    for (i = 0; i < streak.length; i++) several = several || streak[i] === name || streak[i] !== streak[0];
    while (several && streak.length) health._forget(streak.pop());
    streak = [];
  }

  /** What an open tells the server. */
  function history() {
    var fields = { transports: [], failed: {}, tried: timings }, i, name, failure;
    for (i = 0; i < list.length; i++) {
      name = list[i].name;
      fields.transports.push(name);
      failure = health._failure(name);
      if (failure) fields.failed[name] = [failure[2], (clock() - failure[1]) / 1000];
    }
    return fields;
  }

  /** Each transport with its verdict, reason and timing; `current` is the name of the one in use. */
  function table(current) {
    var rows = [], seen = {}, all = ranks.concat(transports), i, name, failure, verdict;
    for (i = 0; i < all.length; i++) {
      name = all[i].name;
      failure = health._failure(name);
      verdict = name === current ? "taken" : ruledOut[name] ? "refused" : failure ? "demoted" : "offered";
      if (!seen[name]) rows.push({
        name: name,
        verdict: verdict,
        reason: ruledOut[name] || (failure && name !== current ? failure[2] : (all[i].verdict !== "taken" && all[i].reason) || ""),
        timing: timings[name]
      });
      seen[name] = true;
    }
    return rows;
  }
}
