/** The script for pages without a bundler: the global `RealtimeEvents`, beside `Realtime`. */
import { EventError, events } from "./namespaces.js";

events.EventError = EventError;
export default events;
