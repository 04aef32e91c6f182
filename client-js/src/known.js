/** What is known of the transports, for others: for the next page, by the browser's storage; the server; the application. */
import { toJson } from "./frames.js";
import { clock } from "./time.js";

export var CANNOT = "can't run here";

/** Of the server at `origin`. `transports`: what the application wants. */
export function remember(policy, transports, origin) {
  var key = "realtime:" + origin, ranks = [], all = policy._all, stored, found, i;
  try {
    stored = localStorage.getItem(key) || "{}";
    found = JSON.parse(stored);
    for (i = 0; i < all.length; i++) {
      // What lies in the future was written by another clock.
      if (found[all[i]._name] && found[all[i]._name][1] <= clock()) {
        all[i]._times = found[all[i]._name][0];
        all[i]._when = found[all[i]._name][1];
        all[i]._how = found[all[i]._name][2];
      }
    }
  } catch (error) {
    // No storage, or somebody else's words in it.
  }
  return { _store: store, _rank: rank, _history: history, _table: table };

  function store() {
    var failures = {}, i, text;
    for (i = 0; i < all.length; i++) if (all[i]._times) failures[all[i]._name] = [all[i]._times, all[i]._when, all[i]._how];
    text = toJson(failures);
    try {
      if (text !== stored) localStorage.setItem(key, (stored = text));
    } catch (error) {
      // Full, or forbidden.
    }
  }

  function find(name) {
    for (var i = 0; i < all.length; i++) if (all[i]._name === name) return all[i];
    return { _out: CANNOT };
  }

  /** The server's list: its order says what is wanted most. What failed is for this client to find out. */
  function rank(list) {
    var names = [], i, one;
    ranks = list;
    for (i = 0; i < list.length; i++) {
      names.push(list[i].name);
      one = find(list[i].name);
      if (list[i].verdict === "refused") one._out = one._out || list[i].reason;
    }
    policy._rank(names);
  }

  /** What an open tells the server. */
  function history() {
    var fields = { transports: [], failed: {}, tried: {} }, i, one;
    for (i = 0; i < policy._ranks.length; i++) {
      one = policy._ranks[i];
      fields.transports.push(one._name);
      if (policy._times(one)) fields.failed[one._name] = [one._how, (clock() - one._when) / 1000];
      fields.tried[one._name] = one._took && one._took / 1000;
    }
    return fields;
  }

  /** Each transport with its verdict, reason and timing. */
  function table() {
    var rows = [], seen = {}, list = ranks.concat(transports), i, one, taken, failed;
    for (i = 0; i < list.length; i++) {
      one = find(list[i].name);
      taken = one === policy._current;
      failed = one._times && policy._times(one);
      if (!seen[list[i].name]) rows.push({
        name: list[i].name,
        verdict: taken ? "taken" : one._out ? "refused" : failed ? "demoted" : "offered",
        reason: (!taken && (one._out || (failed && one._how) || (list[i].verdict !== "taken" && list[i].reason))) || "",
        timing: one._took && one._took / 1000
      });
      seen[list[i].name] = true;
    }
    return rows;
  }
}
