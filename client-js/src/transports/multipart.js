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
    // A boundary, headers, none of which may say another type, an empty line, and the batch. It is whole when the boundary behind it has come.
    var part = /(?:^|\n)--realtime[ \t]*\r?\n(?:(?!content-type:(?!\s*text\/plain))[^\r\n]+\r?\n)*\r?\n([^\r\n]*)(?=[\s\S]*?\n--realtime(--)?[ \t]*\r?\n)/gi;
    return request(carrier, address(carrier, url, first), null, pieces(carrier, part));
  },
  post: post
};
