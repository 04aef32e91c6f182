// Right uses of events: all of this compiles.

import Realtime from "aiohttp-realtime";
import { EventError, events, type Namespace } from "aiohttp-realtime/events";

const session = new Realtime("/realtime/chat");
const chat = events(session, { auth: { name: "ada" }, timeout: 1000 });
const admin: Namespace = chat.of("/admin");
admin.timeout = Infinity;
admin.auth = { token: null };
events(session, { auth: undefined, timeout: undefined });

chat.on("connect", () => console.log(chat.id.trim(), chat.connected === true, chat.namespace));
chat.on("connect_error", (error) => `${error.message} ${error.code}`);
chat.once("disconnect", (reason) => reason === "transport close");
chat.on("*", (event, ...args) => event.trim() + args.length);
chat.on("message", (name: string, text: string) => [name, text]);
chat.on("sum", async (one: number, other: number) => one + other);
chat.on("seat", () => {
  throw new EventError("the seat is taken", "taken", { seat: 5, picture: new Uint8Array(2) });
});
const listener = (): void => {};
chat.on("x", listener);
chat.off("x", listener);
chat.off("x");

chat.emit("message", "hello", { a: [new ArrayBuffer(1), null, { b: new Uint8Array(1) }] });
chat.call("message", "hello").then((answer) => answer.anything, (error: EventError) => error.code.trim());
chat.emit("message", "hello", (error: EventError | null, answer?: any) => (error ? error.message : answer));
chat.disconnect();

// Said once, checked everywhere.
interface Heard {
  message(name: string, text: string): void;
  confirm(question: string): boolean;
}
interface Sent {
  message(text: string): "delivered";
  upload(name: string, data: ArrayBuffer): { size: number };
  typing(busy?: boolean, where?: string): number;
  add(first: number, ...more: number[]): number;
}
const typed = events<Heard, Sent>(session);
typed.on("message", (name, text) => console.log(name.trim(), text.trim()));
typed.on("confirm", async (question) => question.length > 3);
typed.emit("message", "hello");
typed.call("upload", "a.png", new ArrayBuffer(1)).then(({ size }) => size.toFixed());
typed.call("message", "hello").then((answer): "delivered" => answer);
typed.emit("message", "hello", (error, answer) => error?.code.trim() ?? answer?.trim());
typed.emit("typing");
typed.emit("typing", true);
typed.emit("typing", (error, answer) => error?.code ?? answer?.toFixed());
typed.emit("typing", true, (error, answer) => error?.code ?? answer?.toFixed());
typed.emit("typing", true, "here", (error, answer) => error?.code ?? answer?.toFixed());
typed.emit("add", 1, 2, 3, (error, answer) => error?.code ?? answer?.toFixed());
typed.call("add", 1).then((answer) => answer.toFixed());
typed.of<Heard, Sent>("/other").emit("message", "hello");
