/** The script for pages without a bundler: the global `RealtimeWebTransport`, beside `Realtime`. */
import { webtransport } from "./webtransport.js";

export default webtransport;
