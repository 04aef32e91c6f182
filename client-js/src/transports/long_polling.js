/** One POST after the other, each held by the server until it has something to say. */
import { HELD } from "../machine.js";
import { hasHttp, poll, post } from "../http.js";

export var long_polling = {
  name: "long_polling",
  kind: HELD,
  usable: hasHttp,
  open: poll,
  post: post
};
