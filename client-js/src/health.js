/**
 * What failed lately, and when it is worth another try. Each failure in a row doubles the wait; a success forgets all,
 * and so does time. Kept in the browser's storage, where there is one, so that the next page need not learn it again.
 */
import { toJson } from "./frames.js";
import { clock, doubled } from "./time.js";

var LEAST = 5000;
var MOST = 300000;

/** The memory for one server. */
export function remember(origin) {
  var key = "realtime:" + origin, failures; // name -> [times in a row, when last, how]
  try {
    failures = JSON.parse(localStorage.getItem(key));
  } catch (error) {
    // No storage, or somebody else's words in it.
  }
  failures = failures || {};
  return { _failure: failure, _failed: failed, _forget: forget, _retryAt: retryAt };

  /** The failure that is remembered of a transport. What lies in the future was written by another clock. */
  function failure(name) {
    var found = failures[name], age = found && clock() - found[1];
    return age >= 0 && age < MOST * found[0] ? found : null;
  }

  function failed(name, how) {
    var found = failure(name);
    failures[name] = [found ? found[0] + 1 : 1, clock(), how];
    store();
  }

  /** Forgets the failures of one transport, or of all when the network has changed. */
  function forget(name) {
    if (name && !failures[name]) return;
    if (name) delete failures[name];
    else failures = {};
    store();
  }

  /** When a transport is worth another try. */
  function retryAt(name) {
    var found = failure(name);
    return found ? found[1] + doubled(LEAST, found[0] - 1, MOST) : 0;
  }

  function store() {
    try {
      localStorage.setItem(key, toJson(failures));
    } catch (error) {
      // Full, or forbidden.
    }
  }
}
