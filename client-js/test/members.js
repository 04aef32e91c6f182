/**
 * Private members that no object has both of may have one short name in what is shipped (members.json). Here every object of the source that
 * gets a second one is looked at: both must be known to meet.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { meeting } from "../arrange.js";
import { ROOT } from "../build.js";

const read = (file) => JSON.parse(readFileSync(join(ROOT, file), "utf8"));
const NAMES = new Set(Object.keys(read("names.json").members));

/** Whether one object may have both. */
export const mayMeet = meeting(read("members.json"));

/** The same, asked again and again. */
function haveMet(one, other) {
  const known = (met[one] ??= {});
  return (known[other] ??= mayMeet(one, other));
}
const met = {};

/** The pair of these names, of one object, that were not known to meet; undefined if there is none. */
export function strangers(names) {
  for (const one of names) for (const other of names) if (!mayMeet(one, other)) return `${one} and ${other}`;
}

/** From now on a private member that does not belong on an object of this realm throws when it is set there first. */
export function watch({ Object: theirs }) {
  for (const name of NAMES) {
    Object.defineProperty(theirs.prototype, name, {
      configurable: true,
      get() {},
      set(value) {
        Object.defineProperty(this, name, { value, configurable: true, enumerable: true, writable: true });
        const own = Object.getOwnPropertyNames(this), above = Object.getPrototypeOf(this);
        if (above && above !== theirs.prototype) own.push(...Object.getOwnPropertyNames(above));
        // Those that it had have met before.
        const found = own.find((one) => NAMES.has(one) && !haveMet(name, one));
        if (found) throw new Error(`members.json: one object has ${name} and ${found}`);
      }
    });
  }
}
