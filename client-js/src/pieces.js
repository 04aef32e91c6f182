/** Batches in a text that grows. */

/** A function that is given the text each time it has grown, and hands over the batches that `pattern`, a global one, finds in it. */
export function pieces(carrier, pattern) {
  var seen = 0;
  return function (text) {
    var found;
    for (pattern.lastIndex = seen; (found = pattern.exec(text)); pattern.lastIndex = seen) {
      seen = pattern.lastIndex;
      if (/\S/.test(found[1])) carrier.batch(found[1]);
    }
  };
}
