/** Server-sent events (HTML standard, §9.2): each event's data is a batch. */
import { address } from "../carrier.js";
import { hasHttp, post } from "../http.js";
import { STREAM } from "../machine.js";
import { root } from "../root.js";

export var sse = {
  name: "sse",
  kind: STREAM,
  byUrl: true,
  usable: function (cross, requests) {
    return root.EventSource && hasHttp(cross, requests);
  },
  open: function (carrier, url, first) {
    var source = new EventSource(address(carrier, url, first), { withCredentials: carrier.options.credentials });
    source.onmessage = function (event) {
      carrier.batch(event.data);
    };
    // It would come again by itself with the same URL; but it is stopped now.
    source.onerror = function () {
      carrier.end("cut");
    };
    return {
      stop: function () {
        source.close();
      }
    };
  },
  post: post
};
