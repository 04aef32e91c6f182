/**
 * Which transports there are for a session, what is known of each, and which one is to be tried next: the server's
 * word, what this engine can run, and what was seen to fail here.
 */
import { Health } from "./health.js";
import { HELD, STREAM } from "./machine.js";
import { clock } from "./time.js";

/** `transports`: what the application wants, best first, for an endpoint of `origin`. */
export function Choice(transports, origin, cross) {
  var i, transport;
  this._list = []; // what can be run, best first
  this._ruledOut = {}; // name -> why it is out of the question
  this._timings = {}; // name -> seconds it took to get through
  this._streak = {}; // what failed since a carrier carried last
  this._ranks = []; // the server's list
  this._health = new Health(origin);
  for (i = 0; i < transports.length; i++) {
    transport = transports[i];
    if (transport.usable(cross)) this._list.push(transport);
    else this._ruledOut[transport.name] = "this browser can't run it here";
  }
}

Choice.prototype = {
  /** The server has ranked what it knows: its order is taken. */
  _rank: function (ranks) {
    var ranked = [], i, k, name;
    this._ranks = ranks;
    for (i = 0; i < ranks.length; i++) {
      name = ranks[i].name;
      if (ranks[i].verdict === "refused" && !this._ruledOut[name]) this._ruledOut[name] = ranks[i].reason;
      for (k = 0; k < this._list.length; k++) if (this._list[k].name === name) ranked.push(this._list[k]);
    }
    if (ranked.length) this._list = ranked;
  },

  /** The one to try next: the best that is well, else the one that will be soonest. Undefined if there is none. */
  _next: function (crowded) {
    return this._soonest(this._list.length, crowded).transport;
  },

  /** The one to try beside `current`, which carries, and when: better, and not just another stream. */
  _better: function (current, crowded) {
    for (var i = 0; i < this._list.length && this._list[i] !== current; i++);
    return this._soonest(i, crowded, current.kind);
  },

  /** Of the first `count`: {transport, at}, the best that is well now, else the one that will be soonest. */
  _soonest: function (count, crowded, kind) {
    var best = { at: Infinity }, now = clock(), i, transport, at;
    for (i = 0; i < count; i++) {
      transport = this._list[i];
      if (this._ruledOut[transport.name] || (kind === STREAM && transport.kind === STREAM)) continue;
      at = this._health._retryAt(transport.name, now);
      // Where other sessions of the page hold requests enough, what needs another one comes last.
      if (crowded && (transport.kind === STREAM || transport.kind === HELD)) at = Math.max(at, now) + 1e9;
      if (at <= now) return { transport: transport, at: 0 };
      if (at < best.at) best = { transport: transport, at: at };
    }
    return best;
  },

  /** The transport that opens a session for one that can't well, or beside it: a poll, if any is well. */
  _opener: function () {
    for (var i = 0, now = clock(); i < this._list.length; i++) {
      if (this._list[i].kind >= HELD && !this._ruledOut[this._list[i].name] && this._health._retryAt(this._list[i].name, now) <= now) {
        return this._list[i];
      }
    }
  },

  /** Evidence against a transport. What holds one stream back (`isHeld`) holds them all. */
  _failed: function (transport, how, isHeld) {
    for (var i = 0; i < this._list.length; i++) {
      if (this._list[i] === transport || (isHeld && this._list[i].kind === STREAM)) {
        if (!isHeld) this._streak[this._list[i].name] = true;
        this._health._failed(this._list[i].name, how, clock());
      }
    }
  },

  /** A carrier of this transport has begun to carry. */
  _gotThrough: function (name, seconds) {
    var count = this._streak[name] ? 2 : 0, failed;
    this._timings[name] = this._timings[name] || seconds;
    for (failed in this._streak) count++;
    // Several that failed in a row may have met a network that was gone: they are tried again soon.
    if (count > 1) for (failed in this._streak) this._health._forget(failed);
    this._streak = {};
  },

  /** What an open tells the server. */
  _history: function () {
    var fields = { transports: [], failed: {}, tried: this._timings }, now = clock(), i, name, failure;
    for (i = 0; i < this._list.length; i++) {
      name = this._list[i].name;
      fields.transports.push(name);
      failure = this._health._failure(name, now);
      if (failure) fields.failed[name] = [failure[2], (now - failure[1]) / 1000];
    }
    return fields;
  },

  /** Each transport with its verdict, reason and timing; `current` is the name of the one in use. */
  _table: function (current) {
    var self = this, table = [], seen = {}, i;
    function add(name, reason) {
      var failure = self._health._failure(name, clock()), ruledOut = self._ruledOut[name], verdict = "offered";
      if (seen[name]) return;
      seen[name] = true;
      if (name === current) verdict = "taken";
      else if (ruledOut) verdict = "refused";
      else if (failure) verdict = "demoted";
      table.push({
        name: name,
        verdict: verdict,
        reason: ruledOut || (failure && verdict === "demoted" ? failure[2] : reason || ""),
        timing: self._timings[name]
      });
    }
    for (i = 0; i < this._ranks.length; i++) add(this._ranks[i].name, this._ranks[i].reason);
    for (i = 0; i < this._list.length; i++) add(this._list[i].name);
    for (i in this._ruledOut) add(i);
    return table;
  }
};
