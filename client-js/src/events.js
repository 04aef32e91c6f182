/** The events that listeners are given: the engine's own where they can be made, else plain objects that say the same. */
import { root } from "./root.js";

/** An event of this type, with these fields, as if it had been dispatched at `target`. */
export function makeEvent(type, fields, target) {
  var event, name;
  fields.target = fields.currentTarget = target;
  try {
    event = new (type === "message" ? MessageEvent : type === "close" ? CloseEvent : Event)(type);
    // Nobody has dispatched it, so that its own say nothing.
    for (name in fields) {
      Object.defineProperty(event, name, { value: fields[name] });
      if (event[name] !== fields[name]) throw name; // old WebKit
    }
    return event;
  } catch (error) {
    fields.type = type; // an engine before 2015
    return fields;
  }
}
