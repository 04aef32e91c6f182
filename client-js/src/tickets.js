/** Transports whose first frame stands in the URL: it shows a ticket there instead of the key, good for one attach. */
import { proof } from "./machine.js";
import { say } from "./say.js";

/** Asks for a ticket, where there is none, which is rare, and then calls `run`. */
export function askForTicket(s, carrier, run) {
  carrier._link = say(
    s,
    ["k" + carrier._gen],
    function (how) {
      if (how || !proof(s, carrier)) carrier.end(how || "no answer");
      else run(s, carrier);
    },
    s._options.attachTimeout
  )._link;
}
