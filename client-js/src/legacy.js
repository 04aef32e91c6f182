/** The script for pages without a bundler: the global `Realtime`, with all transports. */
import { all } from "./all.js";
import { durable } from "./durable.js";
import { define } from "./realtime.js";
import { requests } from "./requests.js";

export default define(all, requests, durable);
