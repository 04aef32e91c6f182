/**
 * Browsers allow six connections to an origin, to all tabs together. So sessions that hold a request open, a stream or a held
 * poll, take one of a few places, which stand in the storage: whose it is, and since when. Whoever holds one says so again and
 * again; that of a tab that has crashed is free after a while. A session that finds none polls.
 */
import { keep, read } from "./storage.js";

var PLACES = 3; // the other connections are for POSTs, and for the pages themselves
var STALE = 90000; // timers of hidden pages come once a minute
export var BEAT = 20000;

/** Takes a place for the session, keeps it, or, unless it `holds` a request, gives it back. Returns whether all are taken. */
export function places(s, holds) {
  var now = s._at(), i, key, text, mine, place, since;
  for (i = 0; i < PLACES && !mine; i++) {
    key = s._key + i;
    text = read(key) || "";
    mine = text.slice(0, 26) === s._nonce;
    if (mine || !(Math.abs(now - text.slice(26)) < STALE)) {
      place = key;
      since = text.slice(26);
    }
  }
  if (place && (holds ? !mine || now - since >= BEAT : mine)) keep(place, holds ? s._nonce + now : "");
  return !place;
}
