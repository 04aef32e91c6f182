/** What is known of the transports, for others: for the next page, by the browser's storage; the server; the application. */
import { toJson } from "./frames.js";
import { keep, read } from "./storage.js";

export var CANNOT = "can't run here";

/** What the page before has found out. */
export function remember(s) {
  var found, i, known, kept;
  try {
    s._stored = read(s._key) || "{}";
    found = JSON.parse(s._stored);
    for (i = 0; i < s._all.length; i++) {
      known = s._all[i];
      // What lies in the future was written by another clock.
      kept = found[known._name];
      if (kept && kept[1] <= s._at()) {
        known._times = kept[0];
        known._when = kept[1];
        known._how = kept[2];
      }
    }
  } catch (error) {
    // Somebody else's words.
  }
}

export function store(s) {
  var failures = {}, i, known, text;
  for (i = 0; i < s._all.length; i++) {
    known = s._all[i];
    if (known._times) failures[known._name] = [known._times, known._when, known._how];
  }
  text = toJson(failures);
  if (text !== s._stored) keep(s._key, (s._stored = text));
}

function find(s, name) {
  for (var i = 0; i < s._all.length; i++) if (s._all[i]._name === name) return s._all[i];
  return { _out: CANNOT };
}

/** The server's list: its order says what is wanted most. What failed is for this client to find out. */
export function rank(s, list) {
  var ranks = [], i, one;
  s._listed = list.concat(s._listed);
  for (i = 0; i < list.length; i++) {
    one = find(s, list[i].name);
    if (one._name) ranks.push(one);
    if (list[i].verdict === "refused") one._out = one._out || list[i].reason;
  }
  if (ranks.length) s._ranks = ranks;
}

/** What an open tells the server. */
export function history(s) {
  var fields = { transports: [], failed: {}, tried: {} }, i, one;
  for (i = 0; i < s._ranks.length; i++) {
    one = s._ranks[i];
    fields.transports.push(one._name);
    if (s._times(one)) fields.failed[one._name] = [one._how, (s._at() - one._when) / 1000];
    fields.tried[one._name] = one._took;
  }
  return fields;
}

/** Shows the application each transport with its verdict, reason and timing. */
export function table(s) {
  var rows = [], seen = {}, hint = s._options.cross && !s._sid ? "; see allowed_origins" : "";
  var i, one, given, taken, failed;
  for (i = 0; i < s._listed.length; i++) {
    given = s._listed[i];
    one = find(s, given.name);
    taken = one === s._current;
    failed = s._times(one); // no number where it can't run
    if (!seen[given.name]) rows.push({
      name: given.name,
      verdict: taken ? "taken" : one._out ? "refused" : failed ? "demoted" : "offered",
      reason: (!taken && (one._out || (failed && one._how + hint) || (given.verdict !== "taken" && given.reason))) || "",
      timing: one._took
    });
    seen[given.name] = true;
  }
  s._owner.negotiation = rows;
}
