// Wrong uses of events: each must fail to compile, or the comment above it does.

import Realtime from "aiohttp-realtime";
import { EventError, events } from "aiohttp-realtime/events";

interface Heard {
  message(name: string, text: string): void;
  confirm(question: string): boolean;
}
interface Sent {
  message(text: string): "delivered";
  typing(busy?: boolean): number;
}
const session = new Realtime("/realtime/chat");
const chat = events<Heard, Sent>(session);

// @ts-expect-error: no session
events();
// @ts-expect-error: a WebSocket is none
events(new WebSocket("wss://example.org"));
// @ts-expect-error: auth is an object
events(session, { auth: "token" });
// @ts-expect-error: no such option
events(session, { wait: 5 });
// @ts-expect-error: read only
chat.connected = true;
// @ts-expect-error: read only
chat.id = "me";
// @ts-expect-error: it is not sent
chat.emit("confirm", "really?");
// @ts-expect-error: an argument is missing
chat.emit("message");
// @ts-expect-error: of another type
chat.emit("message", 5);
// @ts-expect-error: behind the function
chat.emit("typing", () => {}, true);
// @ts-expect-error: of another type
chat.emit("typing", 5, () => {});
// @ts-expect-error: the answer is a number
chat.emit("typing", (error, answer) => answer.trim());
// @ts-expect-error: so is the answer
chat.call("message", "hello").then((answer) => answer.size);
// @ts-expect-error: it is not heard
chat.on("upload", () => {});
// @ts-expect-error: a listener of other arguments
chat.on("message", (name: number) => {});
// @ts-expect-error: it is to be answered by a boolean
chat.on("confirm", () => "yes");
// @ts-expect-error: an error says something
new EventError();
// @ts-expect-error: no such reason
chat.on("disconnect", (reason) => reason === "tired");
