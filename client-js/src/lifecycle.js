/**
 * What happens to a page: it goes offline and comes back, is put away, frozen, shown again, or left for good.
 *
 * A page that may come back (back-forward cache) lets go of its connections and says nothing; only one that goes for
 * good closes its session.
 */
import { leave, park, unpark } from "./driver.js";
import { check, turn } from "./supervisor.js";
import { root } from "./root.js";

/** Tells the session of `owner` what happens to the page. Returns a function that ends this. */
export function watch(owner) {
  var doc = root.document, ends = [];
  function on(target, type, listener) {
    if (!target || !target.addEventListener) return;
    target.addEventListener(type, listener, false);
    ends.push(function () {
      target.removeEventListener(type, listener, false);
    });
  }
  function away() {
    park(owner._session);
  }
  function back() {
    unpark(owner._session);
  }
  on(doc && root, "online", function () {
    check(owner._session, true);
  });
  on(doc && root, "pagehide", function (event) {
    if (event.persisted) away();
    else leave(owner._session);
  });
  on(doc && root, "pageshow", function (event) {
    if (event.persisted) back();
  });
  on(doc, "freeze", away);
  on(doc, "resume", back);
  // A hidden page's timers are slow: what they have missed is done when it is seen again.
  on(doc, "visibilitychange", function () {
    if (!doc.hidden) turn(owner._session);
  });
  return function () {
    while (ends.length) ends.pop()();
  };
}
