/** The clock, and how long to wait after failures. */

/** Milliseconds by the wall clock, which goes on while a page sleeps. */
export function clock() {
  return new Date().getTime();
}

/** How long to wait after so many failures in a row, in milliseconds: doubled each time, and jittered. */
export function backOff(fails) {
  return Math.min(100 * Math.pow(2, Math.min(fails, 9)), 10000) * (0.5 + Math.random() / 2);
}
