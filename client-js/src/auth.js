/** The application's auth data: a value, a function that returns one, or that returns a promise of one. */
import { toJson } from "./frames.js";

/** Asks for `auth`, and tells got(value, json) when it is there and is JSON, or failed(error). */
export function askFor(auth, got, failed) {
  try {
    if (typeof auth === "function") auth = auth();
  } catch (error) {
    failed(error);
    return;
  }
  if (auth && typeof auth.then === "function") auth.then(take, failed);
  else take(auth);

  function take(value) {
    var json;
    try {
      json = toJson(value);
    } catch (error) {
      failed(error);
      return;
    }
    got(value, json);
  }
}
