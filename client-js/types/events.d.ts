// The types of aiohttp-realtime/events, written by hand. The build copies this file to dist/, once for `import` and once
// for `require`.

import type { Json, Realtime } from "./realtime.js";

/** What events hold: JSON, with what is binary anywhere in it. It arrives as `ArrayBuffer`. */
export type Value =
  Json | ArrayBuffer | ArrayBufferView | readonly Value[] | { readonly [member: string]: Value | undefined };

export interface EventOptions {
  /** Passed to the server's handler of `connect`, each time that the namespace is asked for. */
  auth?: { readonly [member: string]: Json | undefined } | undefined;
  /** Milliseconds until a call fails that is not answered. 5,000 unless told; `Infinity`: it waits for as long as it takes. */
  timeout?: number | undefined;
}

/**
 * A call failed, or a namespace refused this client. Thrown by a listener, or rejected by its promise, it is the answer to
 * the server's call.
 */
export class EventError extends Error {
  /** `code` is "error" unless told. */
  constructor(message: string, code?: string, data?: Value);
  /**
   * `timeout`; `closed` (the namespace was left, or the session has ended); `refused`; `failed`, `unknown` and `arguments`
   * of the server; or what a handler has given.
   */
  readonly code: string;
  readonly data: any;
}

/** What is listened to, or sent, where nobody has said: any event with any arguments. */
export interface AnyEvents {
  [event: string]: (...args: any[]) => any;
}

type Functions<T> = { [E in keyof T]: (...args: any[]) => any };
// Arguments, and a function behind them: also where optional ones were left out.
type Followed<P extends unknown[], C> = P extends [infer First, ...infer Rest]
  ? [First, ...Followed<Rest, C>]
  : number extends P["length"]
    ? [...P, C]
    : P extends []
      ? [C]
      : P extends [(infer First)?, ...infer Rest]
        ? [C] | [First, ...Followed<Rest, C>]
        : never;
type Answer<F extends (...args: any[]) => any> = Awaited<ReturnType<F>>;

/** Why a namespace was left: by disconnect() or close(); by the server; with its session. */
export type Reason = "io client disconnect" | "io server disconnect" | "transport close";

/** One namespace of a session. `Heard`: what the server sends; `Sent`: what this client does; each a function by its name. */
export interface Namespace<Heard extends Functions<Heard> = AnyEvents, Sent extends Functions<Sent> = AnyEvents> {
  readonly namespace: string;
  /** Whether the server has let this client in. What is sent before that waits. */
  readonly connected: boolean;
  /** What the server calls this client here; "" as long as it is not in. */
  readonly id: string;
  /** See `EventOptions`. */
  auth: EventOptions["auth"];
  timeout: number;

  /** Another namespace of the session, which is asked for unless this client is in it, or has asked. */
  of<H extends Functions<H> = AnyEvents, S extends Functions<S> = AnyEvents>(
    name: string,
    options?: EventOptions
  ): Namespace<H, S>;

  /**
   * Listens to an event. What the listener returns, or its promise, is the answer, if
   * the server wants one. "*" hears what nobody else listens to, with its name in front.
   */
  on(event: "connect", listener: () => void): void;
  on(event: "connect_error", listener: (error: EventError) => void): void;
  on(event: "disconnect", listener: (reason: Reason) => void): void;
  on(event: "*", listener: (event: string, ...args: any[]) => any): void;
  on<E extends keyof Heard & string>(
    event: E,
    listener: (...args: Parameters<Heard[E]>) => Answer<Heard[E]> | PromiseLike<Answer<Heard[E]>>
  ): void;

  /** Listens once. */
  once(event: "connect", listener: () => void): void;
  once(event: "connect_error", listener: (error: EventError) => void): void;
  once(event: "disconnect", listener: (reason: Reason) => void): void;
  once(event: "*", listener: (event: string, ...args: any[]) => any): void;
  once<E extends keyof Heard & string>(
    event: E,
    listener: (...args: Parameters<Heard[E]>) => Answer<Heard[E]> | PromiseLike<Answer<Heard[E]>>
  ): void;

  /** Takes a listener away, or all of an event. */
  off(event: string, listener?: (...args: any[]) => any): void;

  /**
   * Sends an event.
   * @throws {TypeError} For what is neither JSON nor binary, for names that the ends keep for themselves, and where too much
   *   would wait.
   * @throws {EventError} If this client has left the namespace, or was refused.
   */
  emit<E extends keyof Sent & string>(event: E, ...args: Parameters<Sent[E]>): void;
  /** With a function behind the arguments it is a call, for engines without promises. */
  emit<E extends keyof Sent & string>(
    event: E,
    ...args: Followed<Parameters<Sent[E]>, (error: EventError | null, answer?: Answer<Sent[E]>) => void>
  ): void;

  /** Sends an event, and gives its answer: what the handler returned, a list where that was a tuple of several. */
  call<E extends keyof Sent & string>(event: E, ...args: Parameters<Sent[E]>): Promise<Answer<Sent[E]>>;

  /** Leaves the namespace; the session goes on. `of()` asks for it again. */
  disconnect(): void;
}

/**
 * The main namespace of a session, whose messages are taken for events from now on. Call it where the session is made; the
 * next time it returns the same.
 * @throws {TypeError} For another option, and for a `timeout` that is no number from 0 on; so does `of()`.
 */
export function events<Heard extends Functions<Heard> = AnyEvents, Sent extends Functions<Sent> = AnyEvents>(
  session: Realtime,
  options?: EventOptions
): Namespace<Heard, Sent>;
