/** One POST after the other, each held by the server until it has something to say. */
import { HELD } from "../machine.js";
import { hasHttp, post, request } from "../http.js";

export var long_polling = {
  name: "long_polling",
  kind: HELD,
  usable: hasHttp,
  open: function (carrier, url, first) {
    return request(carrier, url, JSON.stringify([first].concat(carrier.messages())));
  },
  post: post
};
