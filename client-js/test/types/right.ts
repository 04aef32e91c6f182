// Right uses: all of this compiles.

import All, {
  all,
  cursors,
  htmlfile,
  jsonp,
  long_polling,
  multipart,
  polling,
  Realtime,
  sse,
  websocket,
  xhr_streaming,
  type CloseEvent,
  type Options,
  type Transport
} from "aiohttp-realtime";

const options: Options = {
  transports: ["websocket", long_polling],
  auth: { token: "secret", rights: [1, null, true] },
  reopen: true,
  upgrade: false,
  maxBuffered: 1024,
  raceDelay: 0,
  attachTimeout: 5000,
  postTimeout: 5000,
  credentials: false
};

const session = new Realtime("/realtime/chat", { transports: [websocket, long_polling] });
const whole: Realtime = new All(new URL("wss://example.org/realtime/chat"), options);
const every: readonly Transport[] = [websocket, sse, xhr_streaming, multipart, htmlfile, long_polling, polling, jsonp];
new All("/realtime/chat");
let held: All | null = whole; // the default export is a type, too
new All("/realtime/chat", { auth: undefined, reopen: undefined, raceDelay: undefined, cursors: undefined });
new Realtime("/realtime/chat", { transports: all });
new Realtime("/realtime/chat", { transports: every, auth: "token" });
new Realtime("/realtime/chat", { transports: every, auth: () => ({ token: "secret" }) });
new Realtime("/realtime/chat", { transports: every, auth: () => Promise.resolve(["secret"]) });
new Realtime("/realtime/chat", { transports: every, auth: async () => null });

session.onopen = () => session.send("hello");
session.onmessage = function (event) {
  if (typeof event.data === "string") this.send(event.data.toUpperCase());
  else if (event.data instanceof ArrayBuffer) this.send(event.data.slice(1));
  else event.data.arrayBuffer().then((buffer) => event.target.send(buffer));
};
session.onclose = ({ code, reason, wasClean, reopening, unacknowledged }) => {
  const text: string = `${code.toFixed()} ${reason.trim()} ${wasClean === reopening}`;
  for (const message of unacknowledged) whole.send(message);
  return text;
};
session.addEventListener("message", ({ room, cursor }) => `${room?.trim()} ${cursor?.trim()}`);
session.addEventListener("gap", ({ room, cursor, missing }) => room + cursor + missing.toFixed());
session.addEventListener("position", ({ room, cursor }) => room + cursor);
const rooms: { readonly [room: string]: string } = session.cursors ?? {};
new Realtime("/realtime/chat", { transports: all, cursors: cursors(rooms) });
new All("/realtime/chat", { cursors: cursors(JSON.parse(JSON.stringify(session.cursors))) });
new All("/realtime/chat", { cursors: cursors(null) });
session.onerror = null;
session.ontransport = (event) => event.transport === "websocket" && event.reason.trim();
session.onstate = (event) => event.state === "detached";
session.ondropped = (event) => event.count + 1;

session.send(new ArrayBuffer(1));
session.send(new Uint8Array(2));
session.send(new DataView(new ArrayBuffer(1)));
session.binaryType = "blob";
session.close();
session.close(1000);
session.close(3001, "enough");

const listener = (event: CloseEvent): void => console.log(event.code);
session.addEventListener("close", listener);
session.addEventListener("close", listener, { once: true });
session.removeEventListener("close", listener);
session.addEventListener("message", { handleEvent: (event) => console.log(event.data) });
session.addEventListener("dropped", (event) => event.count);
session.addEventListener("transport", function () {
  this.close();
});

if (session.readyState === Realtime.OPEN && session.readyState === session.OPEN) session.url.trim();
const constants: [0, 1, 2, 3] = [All.CONNECTING, All.OPEN, All.CLOSING, All.CLOSED];
for (const { name, verdict, reason, timing = 0 } of session.negotiation) console.log(name, verdict, reason, timing + 1);
const waiting: (string | ArrayBuffer)[] = session.unacknowledged;
console.log(held, session.transport, session.state, session.bufferedAmount + 1, constants, waiting);
console.log(session.protocol, session.extensions, session instanceof Realtime);

// Where a WebSocket, or its class, is asked for.
const socket: WebSocket = session;
const make: { new (url: string | URL, protocols?: string | string[]): WebSocket } = All;
/** RxJS' WebSocketCtor. */
interface WebSocketCtor {
  new (url: string, protocol?: string | Array<string>): WebSocket;
  readonly CONNECTING: number;
  readonly OPEN: number;
  readonly CLOSING: number;
  readonly CLOSED: number;
}
const ctor: WebSocketCtor = Realtime;
/** As newer declarations of the DOM have it. */
const sender: { send(data: string | Blob | BufferSource): void } = session;
session.send(new Uint8Array(new SharedArrayBuffer(1)));
new Realtime("/realtime/chat", []);
new Realtime("/realtime/chat", ["mqtt"]);
new Realtime("/realtime/chat", "mqtt");
session.onclose = (event: globalThis.CloseEvent) => event.code;
session.onmessage = (event: globalThis.MessageEvent) => event.data;
session.onopen = (event: Event) => event.type;
session.addEventListener("message", (event: globalThis.MessageEvent) => event.data, false);
session.addEventListener("open", () => {}, { signal: new AbortController().signal });
session.addEventListener("custom", (event: Event) => event.type);
session.removeEventListener("custom", () => {}, true);
const kept: boolean = session.dispatchEvent(new Event("custom"));
console.log(socket, make, ctor, sender, kept);
