// The same by require.

import realtime = require("aiohttp-realtime");
import another = require("aiohttp-realtime/webtransport");

new realtime.Realtime("/realtime/chat", { transports: [another.webtransport(), realtime.websocket] });
