/**
 * Reads batches out of a text that grows: a function that is given it each time. `end` is where one ends, a global pattern; `form` has
 * the batch as its first group, and is not found in what is none of ours. Neither looks at anything twice: texts are long.
 */
export function pieces(carrier, end, form) {
  var seen = 0;
  return function (text) {
    var found, piece;
    for (end.lastIndex = seen; (found = end.exec(text)); end.lastIndex = seen) {
      piece = form.exec(text.slice(seen, found.index));
      seen = end.lastIndex;
      if (piece && /\S/.test(piece[1])) carrier.batch(piece[1]);
    }
  };
}
