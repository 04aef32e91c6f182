/** An endless document in a hidden frame: each script block in it hands over a batch. For engines with nothing better. */
import { address } from "../carrier.js";
import { STREAM } from "../machine.js";
import { hasDocument, hidden, later, listen, submit } from "../page.js";
import { root } from "../root.js";

export var htmlfile = {
  name: "htmlfile",
  kind: STREAM,
  byUrl: true,
  usable: hasDocument,
  open: function (carrier, url, first) {
    var callback = listen(function (batch) {
      carrier.batch(batch);
    });
    var owner, element, frame;
    if (root.ActiveXObject && !carrier.options.cross) {
      // In a document of its own the frame neither clicks nor spins (Internet Explorer).
      owner = new ActiveXObject("htmlfile");
      owner.open();
      owner.write("<body></body>");
      owner.close();
      owner.parentWindow[callback._name] = root[callback._name];
    }
    element = hidden("<iframe></iframe>", owner);
    frame = element.firstChild;
    function stop() {
      callback._forget();
      frame.onload = null;
      frame.src = "about:blank";
      later(element);
    }
    frame.onload = function () {
      // Its end: the body never ends before. An empty frame has loaded before it was given its address.
      if (frame.src) carrier.end("cut");
    };
    frame.src = address(carrier, url, first) + "&callback=" + callback._name;
    return { stop: stop };
  },
  post: submit
};
