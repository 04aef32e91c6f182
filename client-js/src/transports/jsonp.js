/** Script tags, each held by the server like a long poll: for engines and places without any CORS. */
import { address, endpoint } from "../carrier.js";
import { HELD } from "../machine.js";
import { hasDocument, later, listen, submit } from "../page.js";

export var jsonp = {
  name: "jsonp",
  kind: HELD,
  byUrl: true,
  usable: hasDocument,
  open: function (carrier, url, first) {
    // Auth data and cursors must not stand in a URL.
    if (carrier.secret) return submit(carrier, endpoint(carrier._session, "long_polling"), [first]);
    var script = document.createElement("script");
    var callback = listen(function (batch) {
      carrier.batch(batch);
      carrier.end("");
    });
    script.onload = script.onerror = script.onreadystatechange = function () {
      // It may have loaded and not run yet (Internet Explorer before 9).
      if (script.readyState !== "loading") setTimeout(function () {
        carrier.end("no answer");
      }, 100);
    };
    script.src = address(carrier, url, first) + "&callback=" + callback._name;
    document.documentElement.appendChild(script);
    return {
      stop: function () {
        // A script that is still on its way calls back when it comes, and finds nothing to do.
        callback._forget();
        later(script);
      }
    };
  },
  post: submit
};
