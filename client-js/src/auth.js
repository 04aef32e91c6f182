/** The application's auth data: a value, a function that returns one, or that returns a promise of one. */
import { restart } from "./carrier.js";
import { toJson } from "./frames.js";
import { end } from "./machine.js";
import { say } from "./say.js";

/** Asks for them: before the session opens, and when the server takes them no longer. */
export function authorise(s) {
  take(s._options.auth);

  function take(value) {
    var json;
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
    if (s._sid) say(s, ["t" + (json || null)], ready);
    else ready();
  }

  function failed(error) {
    end(s, 4401, "options.auth: " + error);
  }

  function ready() {
    s._asking = false;
    restart(s);
  }
}

/** The server takes the auth data no longer. */
export function renew(s, reason) {
  if (typeof s._options.auth === "function") authorise(s);
  else end(s, 4401, reason);
}
