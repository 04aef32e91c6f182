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
  function hear(event) {
    var s = owner._session, type = event.type;
    if (type === "online") check(s, true);
    // A hidden page's timers are slow: what is due is done before, and what they have missed when it is seen again.
    else if (type === "visibilitychange") turn(s);
    else if (type === "pagehide" && !event.persisted) leave(s);
    else if (/freeze|hide/.test(type)) park(s);
    else unpark(s);
  }
  /** `word`: add or remove. */
  function listen(word) {
    var types = ["online", "pagehide", "pageshow", "freeze", "resume", "visibilitychange"], i;
    // Those of the document are captured on their way.
    for (i = 0; root.document && root.addEventListener && i < 6; i++) root[word + "EventListener"](types[i], hear, true);
  }
  listen("add");
  return listen;
}
