// The types of aiohttp-realtime, written by hand; test/types.test.js compares them with the source.
// The build copies this file to dist/, once for `import` and once for `require`.

/** What JSON can say. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [member: string]: Json | undefined };

export type TransportName =
  "websocket" | "sse" | "xhr_streaming" | "multipart" | "htmlfile" | "long_polling" | "polling" | "jsonp";

/** A way for frames to travel. Its inside is private: pass it to `Options.transports`. */
export interface Transport {
  readonly name: TransportName | "webtransport";
}

export interface Options {
  /**
   * What may be used, most wanted first. Names are known to the default export only, which has all transports;
   * the named `Realtime` takes the objects that this module exports.
   */
  transports?: readonly (TransportName | Transport)[] | undefined;
  /** Passed to the server's `authorize`; a function is asked whenever fresh data are needed. Where it throws the session ends with 4411. */
  auth?: Json | (() => Json | PromiseLike<Json>) | undefined;
  /** Open a new session when this one has ended and could not be resumed. */
  reopen?: boolean | undefined;
  /** Move to a better transport when one gets through. */
  upgrade?: boolean | undefined;
  /** Bytes that may wait, as `bufferedAmount` counts them; `send()` throws above it. 16 MiB unless told. */
  maxBuffered?: number | undefined;
  /** Milliseconds that a WebSocket is ahead when a session is opened by two transports at once. 250 unless told. */
  raceDelay?: number | undefined;
  /** Milliseconds until a transport that says nothing is given up. 5,000 unless told. */
  attachTimeout?: number | undefined;
  /** Milliseconds until a POST that is not answered is made again. 10,000 unless told. */
  postTimeout?: number | undefined;
  /** Send cookies to other origins. True unless told. */
  credentials?: boolean | undefined;
  /** What `cursors()` of this module returns: rooms with a history are gone on with where another session has ended. */
  cursors?: RoomCursors | undefined;
  /** `requests` of this module, where there may be no `XMLHttpRequest`. The default export has it without. */
  requests?: Requests | undefined;
  /** `durable` of this module, for sessions that outlive their server's process. The default export has it without. */
  durable?: Durable | undefined;
}

/** How sessions outlive their server's process. Its inside is private: pass it to `Options.durable`. */
export interface Durable {
  readonly name: string;
}

/** How HTTP requests are made without `XMLHttpRequest`. Its inside is private: pass it to `Options.requests`. */
export interface Requests {
  readonly name: string;
}

/** How far rooms with a history were heard: room → cursor. Safe in JSON; what is in a cursor is the server's affair. */
export interface Cursors {
  readonly [room: string]: string;
}

/** What goes on in rooms. Its inside is private: pass it to `Options.cursors`. */
export interface RoomCursors {
  readonly name: string;
}

export type Data = string | ArrayBuffer | ArrayBufferView;

/** Where the session stands, in more words than `readyState`. */
export type State = "connecting" | "open" | "detached" | "draining" | "closing" | "closed";

/** Why a transport was taken, or not. */
export interface Verdict {
  readonly name: string;
  readonly verdict: "taken" | "offered" | "demoted" | "refused";
  readonly reason: string;
  /** Seconds it took, where it was tried. */
  readonly timing?: number | undefined;
}

// Events are the engine's own where it can make them, and say the same elsewhere.

export interface OpenEvent extends Event {
  readonly type: "open";
  readonly target: Realtime;
}

export interface MessageEvent extends globalThis.MessageEvent {
  readonly type: "message";
  readonly target: Realtime;
  /** Binary messages are what `binaryType` says. */
  readonly data: string | ArrayBuffer | Blob;
  /** The room that has sent it, where `options.cursors` was given and the room has a history, */
  readonly room?: string;
  /** and the position behind it. */
  readonly cursor?: string;
}

export interface ErrorEvent extends Event {
  readonly type: "error";
  readonly target: Realtime;
}

export interface CloseEvent extends globalThis.CloseEvent {
  readonly type: "close";
  readonly target: Realtime;
  readonly code: number;
  readonly reason: string;
  /** The side that closed has told the other all. */
  readonly wasClean: boolean;
  /** What the server did not acknowledge, oldest first. */
  readonly unacknowledged: (string | ArrayBuffer)[];
  /** A new session is about to be opened; what is sent from now on is for that. */
  readonly reopening: boolean;
}

export interface TransportEvent extends Event {
  readonly type: "transport";
  readonly target: Realtime;
  readonly transport: TransportName | "webtransport";
  readonly reason: string;
}

export interface StateEvent extends Event {
  readonly type: "state";
  readonly target: Realtime;
  readonly state: State;
}

/** The server dropped messages because this client was too slow. */
export interface DroppedEvent extends Event {
  readonly type: "dropped";
  readonly target: Realtime;
  readonly count: number;
}

/** With `options.cursors`, or in a durable session: messages of a room, in front of this cursor, will not come; how many, or 0 where nobody knows. */
export interface GapEvent extends Event {
  readonly type: "gap";
  readonly target: Realtime;
  readonly room: string;
  readonly cursor: string;
  readonly missing: number;
}

/** With `options.cursors`: the room goes on behind this cursor, and nothing is missing. */
export interface PositionEvent extends Event {
  readonly type: "position";
  readonly target: Realtime;
  readonly room: string;
  readonly cursor: string;
}

export interface EventMap {
  open: OpenEvent;
  message: MessageEvent;
  error: ErrorEvent;
  close: CloseEvent;
  transport: TransportEvent;
  state: StateEvent;
  dropped: DroppedEvent;
  gap: GapEvent;
  position: PositionEvent;
}

/** A function for `on...`: written as a method, so that a handler of the DOM's events is one, too. */
export type Handler<E> = { handle(event: E): void }["handle"];
export type Listener<E> = { handle(this: Realtime, event: E): void }["handle"] | { handleEvent(event: E): void };

export interface ListenerOptions {
  once?: boolean;
  signal?: AbortSignal;
}

/** A session with an aiohttp server, in the shape of the browser's `WebSocket`, and where that is asked for. */
export class Realtime {
  /**
   * @param url An endpoint: `http:`, `https:`, `ws:`, `wss:`, or relative to the page.
   * @param options What is below. Sub-protocols, as libraries pass them, are ignored with a warning.
   * @throws {TypeError} If the address is none, or an option is not what it takes.
   */
  constructor(url: string | URL, options?: Options | string | readonly string[] | null);

  static readonly CONNECTING: 0;
  static readonly OPEN: 1;
  static readonly CLOSING: 2;
  static readonly CLOSED: 3;
  readonly CONNECTING: 0;
  readonly OPEN: 1;
  readonly CLOSING: 2;
  readonly CLOSED: 3;

  readonly url: string;
  readonly readyState: 0 | 1 | 2 | 3;
  /** Bytes that wait here: not handed to a WebSocket yet, or, over HTTP, not acknowledged yet. */
  readonly bufferedAmount: number;
  readonly protocol: "";
  readonly extensions: "";
  binaryType: "blob" | "arraybuffer";

  /** The transport in use; "" before the first. */
  readonly transport: TransportName | "webtransport" | "";
  readonly state: State;
  /** Every transport that the server knows, most wanted first, and why it is used or not. */
  readonly negotiation: readonly Verdict[];
  /** What the server has not acknowledged yet, oldest first. */
  readonly unacknowledged: (string | ArrayBuffer)[];
  /**
   * With `options.cursors`: how far the listeners have been told of each room with a history, of at most 64 rooms. It
   * changes as they are told. Kept in `sessionStorage`, it lets the next page go on: `cursors(JSON.parse(...))`.
   */
  readonly cursors: Cursors | undefined;

  // Where it is read as a WebSocket, it has a WebSocket's handlers.
  get onopen(): ((this: WebSocket, event: Event) => any) | null;
  set onopen(handler: Handler<OpenEvent> | null);
  get onmessage(): ((this: WebSocket, event: globalThis.MessageEvent) => any) | null;
  set onmessage(handler: Handler<MessageEvent> | null);
  get onerror(): ((this: WebSocket, event: Event) => any) | null;
  set onerror(handler: Handler<ErrorEvent> | null);
  get onclose(): ((this: WebSocket, event: globalThis.CloseEvent) => any) | null;
  set onclose(handler: Handler<CloseEvent> | null);
  ontransport: Handler<TransportEvent> | null;
  onstate: Handler<StateEvent> | null;
  ondropped: Handler<DroppedEvent> | null;

  /**
   * Sends a message. Before the session is open, and while it has no connection, the message waits.
   * @throws {TypeError} If more than `maxBuffered` bytes would wait.
   */
  send(data: Data): void;
  /** As a WebSocket has it: newer declarations of that know no shared memory. */
  send(data: string | BufferSource): void;
  /** Ends the session when everything was delivered. Codes: 1000 and 3000 to 4999. */
  close(code?: number, reason?: string): void;
  addEventListener<T extends keyof EventMap>(
    type: T,
    listener: Listener<EventMap[T]> | null,
    options?: boolean | ListenerOptions
  ): void;
  addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | AddEventListenerOptions
  ): void;
  removeEventListener<T extends keyof EventMap>(type: T, listener: Listener<EventMap[T]> | null): void;
  removeEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | EventListenerOptions
  ): void;
  /** Tells the listeners of an event that is not ours. Returns false if one of them has prevented its default. */
  dispatchEvent(event: Event): boolean;
}

export const websocket: Transport;
export const sse: Transport;
export const xhr_streaming: Transport;
export const multipart: Transport;
export const htmlfile: Transport;
export const long_polling: Transport;
export const polling: Transport;
export const jsonp: Transport;
/** By `fetch` in service workers, extensions and Node, and by `XDomainRequest` in Internet Explorer 8 and 9. */
export const requests: Requests;
/** For endpoints with `durable=True`: the session goes on when its server is restarted. */
export const durable: Durable;
/** For `Options.cursors`. `known`: what `session.cursors` of an earlier session was, if there was one. */
export function cursors(known?: Cursors | null): RoomCursors;
/** All of them. */
export const all: readonly Transport[];

/** `Realtime` with all transports. */
declare const RealtimeWithAll: typeof Realtime;
type RealtimeWithAll = Realtime;
export default RealtimeWithAll;
