/** One long answer to a POST, read as it grows: each line is a batch. */
import { toBatch } from "../frames.js";
import { STREAM } from "../machine.js";
import { hasHttp, post, request } from "../http.js";

export var xhr_streaming = {
  name: "xhr_streaming",
  kind: STREAM,
  usable: hasHttp,
  open: function (carrier, url, first) {
    return request(carrier, url, toBatch([first]), lines(carrier));
  },
  post: post
};

/** Reads the batches out of a growing text. What stands behind the last line feed was cut, or is still to come. */
export function lines(carrier) {
  var seen = 0;
  return function (text) {
    var end, line;
    while ((end = text.indexOf("\n", seen)) >= 0) {
      line = text.slice(seen, end);
      seen = end + 1;
      if (/\S/.test(line)) carrier.batch(line);
    }
  };
}
