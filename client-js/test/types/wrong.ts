// Wrong uses: each must fail to compile, or the comment above it does.

import All, { cursors, jsonp, Realtime, websocket, type Json, type Listener, type OpenEvent } from "aiohttp-realtime";

const session = new Realtime("/realtime/chat", { transports: [websocket] });

// @ts-expect-error: no URL
new Realtime();
// @ts-expect-error: not a URL
new Realtime(42);
// @ts-expect-error: sub-protocols are text
new Realtime("/realtime/chat", [42]);
// @ts-expect-error: not called with new
All("/realtime/chat");
// @ts-expect-error: unknown transport
new All("/realtime/chat", { transports: ["flash"] });
// @ts-expect-error: transports are a list
new All("/realtime/chat", { transports: "websocket" });
// @ts-expect-error: not a transport
new All("/realtime/chat", { transports: [{}] });
// @ts-expect-error: an option in another spelling
new All("/realtime/chat", { max_buffered: 1024 });
// @ts-expect-error: milliseconds are a number
new All("/realtime/chat", { postTimeout: "10s" });
// @ts-expect-error: a Date is not JSON
new All("/realtime/chat", { auth: new Date() });
// @ts-expect-error: nor is what a function promises
new All("/realtime/chat", { auth: () => Promise.resolve(undefined) });
// @ts-expect-error: nor a function in a member
const json: Json = { now: () => 1 };

// @ts-expect-error: nothing to send
session.send();
// @ts-expect-error: a message is text or binary
session.send({ text: "hello" });
// @ts-expect-error: Blobs are read by the application
session.send(new Blob(["hello"]));
// @ts-expect-error: a code is a number
session.close("1000");
// @ts-expect-error: a reason is text
session.close(1000, 1);

// @ts-expect-error: read only
session.url = "/other";
// @ts-expect-error: read only
session.readyState = Realtime.CLOSED;
// @ts-expect-error: read only
session.transport = "sse";
// @ts-expect-error: read only
Realtime.OPEN = 1;
// @ts-expect-error: read only
jsonp.name = "jsonp";
// @ts-expect-error: read only
session.negotiation.pop();
// @ts-expect-error: Node's spelling
session.binaryType = "nodebuffer";
// @ts-expect-error: no such state
session.state === "reconnecting";
// @ts-expect-error: no such verdict
session.negotiation[0].verdict === "failed";
// @ts-expect-error: no such member
session.reconnect();
// @ts-expect-error: cursors are kept by the session
session.cursors = {};
// @ts-expect-error: `cursors` makes what the option takes
new All("/realtime/chat", { cursors: { room: "cursor" } });
// @ts-expect-error: a cursor is a string
new All("/realtime/chat", { cursors: cursors({ room: 5 }) });
// @ts-expect-error: private
session._machine;

// @ts-expect-error: open has no data
session.onopen = (event) => event.data;
// @ts-expect-error: data may be binary
session.onmessage = (event) => event.data.trim();
// @ts-expect-error: dropped messages are not messages
session.onmessage = (event) => event.count;
// @ts-expect-error: a close has no message
session.onclose = (event) => event.message;
// @ts-expect-error: no such handler
session.onreconnect = () => {};
// @ts-expect-error: the listener of another event
session.addEventListener("close", (event: OpenEvent) => event);
// @ts-expect-error: not a listener
session.addEventListener("open", "alert()");
// @ts-expect-error: no such option
session.addEventListener("open", () => {}, { twice: true });
// @ts-expect-error: what is dispatched is an event
session.dispatchEvent({ type: "open" });
// @ts-expect-error: an object without handleEvent
const listener: Listener<OpenEvent> = { handle() {} };

export { json, listener };
