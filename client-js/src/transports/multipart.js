/** multipart/x-mixed-replace, where a page is shown the body as it grows: each part is a batch. */
import { address } from "../carrier.js";
import { hasHttp, post, request } from "../http.js";
import { STREAM } from "../machine.js";

export var multipart = {
  name: "multipart",
  kind: STREAM,
  byUrl: true,
  usable: hasHttp,
  open: function (carrier, url, first) {
    return request(carrier, address(carrier, url, first), null, parts(carrier));
  },
  post: post
};

/** Reads the batches out of a growing text. A part is whole when the boundary behind it has come. */
export function parts(carrier) {
  var boundary = /(?:^|\r?\n)--realtime(--)?[ \t]*\r?\n/g, seen = 0, inside = false;
  return function (text) {
    var found, part;
    for (boundary.lastIndex = seen; (found = boundary.exec(text)); boundary.lastIndex = seen) {
      // Its headers, if any, and behind an empty line the batch.
      part = /^\n((?:[^\r\n]+\r?\n)*)\r?\n([^\r\n]*)/.exec(text.slice(seen, found.index));
      if (inside && part && /\S/.test(part[2]) && !/^content-type:(?!\s*text\/plain)/im.test(part[1])) carrier.batch(part[2]);
      inside = !found[1];
      seen = found.index + found[0].length - 1; // this line's end may be the beginning of the next boundary
    }
  };
}
