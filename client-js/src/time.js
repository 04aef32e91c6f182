/** The clock, and how long to wait after failures. All in milliseconds. */

/** The wall clock, which goes on while a page sleeps. */
export function clock() {
  return new Date().getTime();
}

/** `least`, doubled so many times, but not above `most`. */
export function doubled(least, times, most) {
  return Math.min(least * Math.pow(2, times), most);
}

/** A time that differs from page to page, so that they don't all come at once: half of it is chance. */
export function jittered(time) {
  return time * (0.5 + Math.random() / 2);
}

/** How long to wait after so many failures in a row. */
export function backOff(fails) {
  return jittered(doubled(100, fails, 10000));
}
