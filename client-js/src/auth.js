/** The application's auth data: a value, a function that returns one, or that returns a promise of one. */
import { restart } from "./carrier.js";
import { toJson } from "./frames.js";
import { end } from "./machine.js";
import { say } from "./say.js";

/** Asks for them: before the session opens, and when the server takes them no longer. */
export function authorise(s) {
  var auth = s._options.auth;
  try {
    if (typeof auth === "function") auth = auth();
  } catch (error) {
    return failed(error);
  }
  if (auth && typeof auth.then === "function") auth.then(take, failed);
  else take(auth);

  function failed(error) {
    end(s, 4401, "options.auth: " + error);
  }

  function take(value) {
    var json;
    try {
      json = toJson(value);
    } catch (error) {
      return failed(error);
    }
    s._auth = value;
    if (s._sid) say(s, ["t" + (json || null)], ready);
    else ready();
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
