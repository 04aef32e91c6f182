// The same by require().

import realtime = require("aiohttp-realtime");

const session: realtime.default = new realtime.default("/realtime/chat", { transports: ["websocket"] });
const other: typeof realtime.Realtime = realtime.Realtime;
const options: realtime.Options = { transports: [realtime.jsonp] };
// @ts-expect-error: the module is not the class
new realtime("/realtime/chat");

export { options, other, session };
