/** One POST after the other, each answered at once. Messages go up with them. */
import { POLL } from "../machine.js";
import { hasHttp, poll, post } from "../http.js";

export var polling = {
  name: "polling",
  kind: POLL,
  usable: hasHttp,
  open: poll,
  post: post
};
