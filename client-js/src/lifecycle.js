/**
 * What happens to a page: it goes offline and comes back, is put away, frozen, shown again, or left for good.
 *
 * A page that may come back (back-forward cache) lets go of its connections and says nothing; only one that goes for
 * good closes its session.
 */
import { root } from "./root.js";

/** Tells `session` what happens to the page. Returns a function that ends this. */
export function watch(session) {
  var doc = root.document, ends = [];
  function on(target, type, listener) {
    if (!target || !target.addEventListener) return;
    target.addEventListener(type, listener, false);
    ends.push(function () {
      target.removeEventListener(type, listener, false);
    });
  }
  function park() {
    session._driver._park();
  }
  function unpark() {
    session._driver._unpark();
  }
  on(doc && root, "online", function () {
    session._driver._check(true);
  });
  on(doc && root, "pagehide", function (event) {
    if (event.persisted) park();
    else session._driver._leave();
  });
  on(doc && root, "pageshow", function (event) {
    if (event.persisted) unpark();
  });
  on(doc, "freeze", park);
  on(doc, "resume", unpark);
  // A hidden page's timers are slow: what they have missed is done when it is seen again.
  on(doc, "visibilitychange", function () {
    if (!doc.hidden) session._driver._turn();
  });
  return function () {
    while (ends.length) ends.pop()();
  };
}
