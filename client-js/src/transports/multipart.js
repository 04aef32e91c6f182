/** multipart/x-mixed-replace, where a page is shown the body as it grows: each part is a batch. */
import { address } from "../carrier.js";
import { hasHttp, post, request } from "../http.js";
import { STREAM } from "../machine.js";
import { pieces } from "../pieces.js";

export var multipart = {
  name: "multipart",
  kind: STREAM,
  byUrl: true,
  usable: hasHttp,
  open: function (carrier, url, first) {
    // It ends where the line of the next boundary is whole. In front of it: its own boundary, headers, none of which may say another type,
    // and behind an empty line the batch.
    var end = /\r?\n(?=--realtime(--)?[ \t]*\r?\n)/g, form = /^--realtime[ \t]*\r?\n(?:(?!content-type:(?!\s*text\/plain))[^\r\n]+\r?\n)*\r?\n([^\r\n]*)/i;
    return request(carrier, address(carrier, url, first), null, pieces(carrier, end, form));
  },
  post: post
};
