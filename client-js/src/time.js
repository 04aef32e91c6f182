/** The clock, and how long to wait after failures. All in milliseconds. */

export var NEVER = Infinity;

var last = 0; // what the clock said
var skew = 0; // by how much it was set back

/** The wall clock, which goes on while a page sleeps. Where it is set back, this one goes on from where it was. */
export function clock() {
  var now = +new Date();
  skew = Math.max(skew, last - now);
  return (last = now + skew);
}

/** `least`, doubled so many times, but not above `most`. */
export function doubled(least, times, most) {
  return Math.min(least * Math.pow(2, times), most);
}

/** A time that differs from page to page, so that they don't all come at once: half of it is chance. */
export function jittered(time) {
  return time * (0.5 + Math.random() / 2);
}
