/**
 * The module: the default export has all transports; `Realtime` has those that it is given in `options.transports`,
 * so that a bundler leaves out the rest.
 */
import { all } from "./all.js";
import { cursors } from "./cursors.js";
import { durable } from "./durable.js";
import { define } from "./realtime.js";
import { requests } from "./requests.js";
import { ignore } from "./root.js";

export * from "./all.js";
export { cursors, durable, requests };
export var Realtime = /*#__PURE__*/ define([], ignore, ignore);
export default /*#__PURE__*/ define(all, requests, durable);
