/** The application's auth data: a value, a function that returns one, or that returns a promise of one. */
import { restart } from "./carrier.js";
import { toJson } from "./frames.js";
import { end } from "./machine.js";
import { say } from "./say.js";

var LATER = 4429; // the first code that says "later"

/** Asks for them: before the session opens, and when the server takes them no longer. */
export function authorise(s) {
  take(s._options.auth);

  function take(value) {
    var json;
    if (s._ended) return;
    try {
      if (typeof value === "function") value = value();
      if (value && typeof value.then === "function") {
        value.then(take, failed);
        return;
      }
      json = toJson(value);
    } catch (error) {
      failed(error);
      return;
    }
    s._auth = value;
    if (!s._sid) ready();
    else say(s, ["t" + (json || null)], function (how, asker) {
      if (asker._refusal < LATER) end(s, asker._refusal, how);
      else if (how && asker._link) {
        // What gets no answer, or is to come later, is due again.
        setTimeout(function () {
          take(value);
        }, 1000);
      } else ready();
    });
  }

  function failed(error) {
    end(s, 4411, "options.auth: " + error); // who says so was away, perhaps: options.reopen asks again
  }

  function ready() {
    s._asking = s._renewing = false;
    restart(s);
  }
}

/** The server takes the auth data no longer. */
export function renew(s, reason) {
  if (typeof s._options.auth !== "function") end(s, 4401, reason);
  else if (!s._renewing) {
    s._asking = s._renewing = true;
    authorise(s);
  }
}
