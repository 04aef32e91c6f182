/**
 * What failed lately, and when it is worth another try. Each failure in a row doubles the wait; a success forgets all,
 * and so does time. Kept in the browser's storage, where there is one, so that the next page need not learn it again.
 */
import { doubled } from "./time.js";

var LEAST = 5000;
var MOST = 300000;

/** The memory for one server. `now` is passed in, in milliseconds. */
export function Health(origin) {
  this._key = "realtime:" + origin;
  this._failures = {}; // name -> [times in a row, when last, how]
  try {
    this._failures = JSON.parse(localStorage.getItem(this._key)) || {};
  } catch (error) {
    // No storage, or somebody else's words in it.
  }
}

Health.prototype = {
  _store: function () {
    try {
      localStorage.setItem(this._key, JSON.stringify(this._failures));
    } catch (error) {
      // Full, or forbidden.
    }
  },

  _failed: function (name, how, now) {
    var failure = this._failure(name, now);
    this._failures[name] = [failure ? failure[0] + 1 : 1, now, how];
    this._store();
  },

  /** Forgets the failures of one transport, or of all when the network has changed. */
  _forget: function (name) {
    if (name && !this._failures[name]) return;
    if (name) delete this._failures[name];
    else this._failures = {};
    this._store();
  },

  /** The failure that is remembered of a transport. */
  _failure: function (name, now) {
    var failure = this._failures[name];
    // What lies in the future was written by another clock.
    return failure && failure[1] <= now && now - failure[1] < MOST * failure[0] ? failure : null;
  },

  /** When a transport is worth another try. */
  _retryAt: function (name, now) {
    var failure = this._failure(name, now);
    return failure ? failure[1] + doubled(LEAST, failure[0] - 1, MOST) : 0;
  }
};
