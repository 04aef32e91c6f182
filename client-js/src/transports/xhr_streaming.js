/** One long answer to a POST, read as it grows: each line is a batch. */
import { toBatch } from "../frames.js";
import { STREAM } from "../machine.js";
import { hasHttp, post, request } from "../http.js";
import { pieces } from "../pieces.js";

export var xhr_streaming = {
  name: "xhr_streaming",
  kind: STREAM,
  usable: hasHttp,
  open: function (carrier, url, first) {
    // What stands behind the last line feed was cut, or is still to come.
    return request(carrier, url, toBatch([first]), pieces(carrier, /\n/g, /([\s\S]*)/));
  },
  post: post
};
