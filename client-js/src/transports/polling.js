/** One POST after the other, each answered at once. Messages go up with them. */
import { POLL } from "../machine.js";
import { long_polling } from "./long_polling.js";
import { hasHttp, post } from "../http.js";

export var polling = {
  name: "polling",
  kind: POLL,
  usable: hasHttp,
  open: long_polling.open,
  post: post
};
