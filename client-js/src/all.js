/** The eight transports, most wanted first. They are built in with those beside each other that are alike, which gzip likes. */
import { htmlfile } from "./transports/htmlfile.js";
import { sse } from "./transports/sse.js";
import { jsonp } from "./transports/jsonp.js";
import { multipart } from "./transports/multipart.js";
import { xhr_streaming } from "./transports/xhr_streaming.js";
import { long_polling } from "./transports/long_polling.js";
import { polling } from "./transports/polling.js";
import { websocket } from "./transports/websocket.js";

export var all = [websocket, sse, xhr_streaming, multipart, htmlfile, long_polling, polling, jsonp];
export { htmlfile, jsonp, long_polling, multipart, polling, sse, websocket, xhr_streaming };
