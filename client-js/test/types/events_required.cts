// The same by require().

import realtime = require("aiohttp-realtime");
import layer = require("aiohttp-realtime/events");

const chat: layer.Namespace = layer.events(new realtime.default("/realtime/chat"));
chat.call("message").catch((error: unknown) => error instanceof layer.EventError);
