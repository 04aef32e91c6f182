/** The module aiohttp-realtime/webtransport: one more transport, for pages that want it. */
export { webtransport } from "./transports/webtransport.js";
